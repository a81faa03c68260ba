-- name: take_migration_lock
-- One hub migrates at a time; held until the connection ends.
SELECT pg_advisory_lock($1)::text AS taken;

-- name: migrations_done
SELECT m.name, m.checksum FROM coord.migrations m ORDER BY m.name;

-- name: record_migration
INSERT INTO coord.migrations (name, checksum) VALUES ($1, $2);
