"""What frozen layers give: computed once, and kept in memory and on disk."""
