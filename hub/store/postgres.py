"""Connections to Postgres, and what its types are in Python."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncpg
from pydantic_core import from_json

import sql
from hub.store import queries
from hub.store.trouble import translated
from protocol.errors import FailedPrecondition, Unavailable
from protocol.session import Fact, State

_MIGRATION_LOCK = 0x636F6F7264  # "coord"
POOL_SIZE = 12
URGENT = 2  # connections that nothing else takes
DEADLOCKS = 8  # lost in a row, before the caller is told

R = TypeVar("R")


class Postgres:
    """Pools whose connections speak our types. ``urgent`` is for what may not wait behind other
    work: its connection is there, and has planned what it runs.
    """

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], urgent: asyncpg.Pool[asyncpg.Record]
    ) -> None:
        self.pool = pool
        self.urgent = urgent

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[queries.Database]:
        """One transaction on one connection. Raises Unavailable when the database is away."""
        with translated():
            async with self.pool.acquire() as connection, connection.transaction():
                yield connection


async def again(work: Callable[[], Awaitable[R]]) -> R:
    """Run one whole transaction; once more each time Postgres chose it to end a deadlock.

    Locks are taken in one order wherever that can be; what a unique index makes one wait for is
    not in it. Raises Unavailable (DATABASE_BUSY) when it lost too often.
    """
    for _ in range(DEADLOCKS):
        try:
            return await work()
        except Unavailable as error:
            if error.reason != "DATABASE_BUSY":
                raise
    return await work()


@asynccontextmanager
async def connected(dsn: str, size: int = POOL_SIZE) -> AsyncGenerator[Postgres]:
    """Connections to a migrated database. Raises Unavailable when nobody answers."""
    async with _pool(dsn, 2, size) as pool, _pool(dsn, 1, URGENT, idle_seconds=0) as urgent:
        yield Postgres(pool, urgent)


@asynccontextmanager
async def _pool(
    dsn: str, least: int, most: int, idle_seconds: float = 300
) -> AsyncGenerator[asyncpg.Pool[asyncpg.Record]]:
    """``idle_seconds``: after which an unused connection is closed; 0: never."""
    with translated():
        pool = await asyncpg.create_pool(
            dsn,
            min_size=least,
            max_size=most,
            max_inactive_connection_lifetime=idle_seconds,
            init=_speak,
            reset=_leave,
            server_settings={
                "search_path": "coord",
                "application_name": "coord-hub",
                # Every statement is prepared and none depends on its parameters' selectivity;
                # planning the spawn anew takes as long as running it.
                "plan_cache_mode": "force_generic_plan",
                # A plan made while a table was empty would read all of it for ever after.
                "enable_seqscan": "off",
            },
            command_timeout=60,
        )
    try:
        yield pool
    finally:
        await pool.close()


async def migrate(dsn: str) -> list[str]:
    """Bring the database to this version's schema; the names of what was applied, in order.

    One hub at a time, under an advisory lock; each migration in its own transaction. Raises
    FailedPrecondition (MIGRATION_CHANGED) when a migration that ran is no longer what it was.
    """
    with translated():
        db = await asyncpg.connect(dsn, server_settings={"search_path": "coord"})
        try:
            await queries.take_migration_lock.only(db, _MIGRATION_LOCK)
            await db.execute(sql.ledger())
            done = {row.name: row.checksum for row in await queries.migrations_done.all(db)}
            applied = [m for m in sql.migrations() if _is_new(m, done)]
            for migration in applied:
                async with db.transaction():
                    await db.execute(migration.text)
                    await queries.record_migration.all(db, migration.name, migration.checksum)
            return [migration.name for migration in applied]
        finally:
            await db.close()


def _is_new(migration: sql.Migration, done: dict[str, str]) -> bool:
    checksum = done.get(migration.name)
    if checksum not in (None, migration.checksum):
        raise FailedPrecondition(
            "MIGRATION_CHANGED",
            f"{migration.name} is not what was applied to this database",
            advice="run the version of coord that made this database, or restore a backup",
        )
    return checksum is None


async def _speak(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_as_text, decoder=from_json
    )
    for name, kind in (("session_state", State), ("session_fact", Fact)):
        await connection.set_type_codec(name, schema="coord", encoder=str, decoder=kind)


async def _leave(_: asyncpg.Connection[asyncpg.Record]) -> None:
    """Nothing to reset: no statement of ours leaves anything behind on a connection, and the
    driver's own reset is one more round trip for each statement."""


def _as_text(value: object) -> str:
    """JSON as text is passed through; anything else is written."""
    return value if isinstance(value, str) else json.dumps(value)
