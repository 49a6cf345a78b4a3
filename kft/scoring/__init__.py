"""Metrics and their computation on a split."""
