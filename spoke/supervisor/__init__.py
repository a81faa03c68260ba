"""One small process per attempt: it owns the agent and outlives the daemon."""
