-- What `migrate` needs before the first migration. Safe to run again.
CREATE SCHEMA IF NOT EXISTS coord;
CREATE TABLE IF NOT EXISTS coord.migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now());
