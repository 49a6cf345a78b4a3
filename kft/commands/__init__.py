"""What the commands share, and how they show results."""
