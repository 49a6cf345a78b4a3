"""Everything specific to images."""
