"""The schema is what the migrations build, and what the protocol's table of states says."""

from __future__ import annotations

import asyncpg
import pytest

import sql
from hub.embedded.cluster import Endpoint
from hub.store import Postgres, postgres
from protocol.errors import FailedPrecondition
from protocol.session import ENDED, TRANSITIONS, Fact, State
from tests.support.postgres import fresh_database

_CATALOG = """
SELECT 'column' AS what, c.relname::text || '.' || a.attname AS name,
       format_type(a.atttypid, a.atttypmod) || coalesce(' default ' ||
           pg_get_expr(d.adbin, d.adrelid), '')
           || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END AS text
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'coord'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
   AND c.relkind IN ('r', 'p')
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'coord'
UNION ALL SELECT 'constraint', conname || ' on ' || conrelid::regclass::text,
       pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'coord'::regnamespace
UNION ALL SELECT 'function', proname, pg_get_functiondef(oid) FROM pg_proc
 WHERE pronamespace = 'coord'::regnamespace
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'type', t.typname::text, string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
  FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.typname
ORDER BY 1, 2, 3"""


async def _catalog(dsn: str) -> list[tuple[str, ...]]:
    db = await asyncpg.connect(dsn)
    try:
        rows = await db.fetch(_CATALOG)
        return [tuple(row) for row in rows if ".migrations" not in row["name"]]
    finally:
        await db.close()


async def test_migrations_from_zero_build_the_schema(postgres_server: Endpoint) -> None:
    async with fresh_database(postgres_server) as dsn, fresh_database(postgres_server) as migrated:
        await postgres.migrate(migrated)
        db = await asyncpg.connect(dsn, server_settings={"search_path": "coord"})
        await db.execute(sql.ledger())
        await db.execute(sql.schema())
        await db.close()
        assert await _catalog(dsn) == await _catalog(migrated)


async def test_migrating_again_changes_nothing(hub_database: str) -> None:
    assert await postgres.migrate(hub_database) == []


async def test_a_migration_that_was_edited_is_refused(hub_database: str) -> None:
    db = await asyncpg.connect(hub_database)
    await db.execute("UPDATE coord.migrations SET checksum = 'another'")
    await db.close()
    with pytest.raises(FailedPrecondition, match="MIGRATION_CHANGED"):
        await postgres.migrate(hub_database)


async def test_postgres_and_python_have_one_table_of_states(connections: Postgres) -> None:
    rows = await connections.pool.fetch("SELECT state, fact, after FROM session_transitions")
    there = {(row["state"], row["fact"], row["after"]) for row in rows}
    here = {
        (state, fact, after)
        for state, moves in TRANSITIONS.items()
        for fact, after in moves.items()
    }
    assert there == here


async def test_postgres_and_python_have_the_same_words(connections: Postgres) -> None:
    states = await connections.pool.fetchval("SELECT enum_range(NULL::session_state)::text[]")
    facts = await connections.pool.fetchval("SELECT enum_range(NULL::session_fact)::text[]")
    assert states == list(State)
    assert facts == list(Fact)


async def test_postgres_and_python_agree_on_what_has_ended(connections: Postgres) -> None:
    rows = await connections.pool.fetch(
        "SELECT s FROM unnest(enum_range(NULL::session_state)) s WHERE session_ended(s)"
    )
    assert {row["s"] for row in rows} == ENDED
