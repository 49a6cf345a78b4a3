"""Sources of data that know no modality."""
