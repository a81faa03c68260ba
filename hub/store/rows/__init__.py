"""What the queries return: one frozen row per shape. A test asks Postgres whether each is true."""
