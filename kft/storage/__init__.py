"""Files: reading and writing them, their names in a run, and digests of what a run depends on."""
