"""The embedded PostgreSQL: binaries from a wheel, started and stopped by us."""
