"""Decoded examples and frozen features, computed once: in memory and on disk."""
