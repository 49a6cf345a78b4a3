"""What a phase says: optimizer, learning-rate schedule, what it unfreezes."""
