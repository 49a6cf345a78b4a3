"""Labels: what is predicted, read from cells, arrays and records."""
