"""The hands: dials in, makes worktrees, runs agents."""
