"""The settings of a phase: optimizer, learning-rate schedule, unfreezing."""
