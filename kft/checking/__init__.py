"""What `kft check` finds out about examples, and what phases will take."""
