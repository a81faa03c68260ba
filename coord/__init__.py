"""The front door: `coord.connect()` for programs, `coordctl` for people."""
