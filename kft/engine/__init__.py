"""The engine: it runs phases, and knows no modality."""
