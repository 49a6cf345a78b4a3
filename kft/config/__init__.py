"""The run config and its JSON Schema."""
