"""CSV and JSON-lines tables."""
