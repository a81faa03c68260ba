"""Pure: what happened, and what to do about it."""
