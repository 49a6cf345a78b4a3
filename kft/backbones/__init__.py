"""Backbones that know no modality."""
