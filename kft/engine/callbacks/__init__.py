"""The callbacks of a phase."""
