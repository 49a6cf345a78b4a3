"""SavedModels as data: what is in one, and whether it may be loaded."""
