"""What a run leaves: its directory, tables, figures."""
