"""What a user starts: run, plan, check, lr-find, init, predict; and work on an earlier run."""
