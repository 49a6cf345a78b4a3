"""What `kft check` looks at: the examples, and what each phase costs on this machine."""
