"""One file per operation: validate, ask the store, ask the core, ask a spoke, answer."""
