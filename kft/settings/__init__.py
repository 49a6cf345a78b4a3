"""Turns JSON into objects: components by kind, overrides, messages."""
