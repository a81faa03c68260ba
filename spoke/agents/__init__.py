"""One file per kind of agent: what to start, how to tell it something, how it ends."""
