"""How JSON becomes objects: components by kind, overrides, messages."""
