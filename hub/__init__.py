"""The exchange: Postgres behind it, websockets in front of it."""
