"""The output of a run: its directory, tables, figures."""
