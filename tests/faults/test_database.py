"""Postgres goes away: crashed under load, stopped for long, changed while it serves."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

import coord
from hub.embedded.binaries import find
from hub.embedded.cluster import Cluster
from hub.store import postgres
from protocol.errors import LinkLost, Unavailable
from tests.support.agents import COUNT, check_count
from tests.support.town import Town, town
from tests.support.world import ended, lines, story, until, waited

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG_LINES = 50_000  # of a thousand bytes each


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncGenerator[Cluster]:
    """A server of our own to crash; what it acknowledged, it keeps."""
    with tempfile.TemporaryDirectory(prefix="coord-") as folder:
        server = Cluster(Path(folder), find())
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Town]:
    dsn = cluster.layout.endpoint().dsn
    await postgres.migrate(dsn)
    async with town(tmp_path_factory.mktemp("town"), dsn, "anvil") as made:
        yield made


async def _crash(cluster: Cluster) -> None:
    """Every backend of it ends at once; nothing is written any more."""
    await _stop(cluster, signal.SIGQUIT)
    await cluster._launch()


async def _stop(cluster: Cluster, how: signal.Signals) -> None:
    assert cluster._process is not None
    os.kill(cluster._process.pid, how)
    await cluster.wait_died()


async def _insist(hub: Town, key: str, repo: str) -> str:
    """A spawn that is asked for until it is answered; it may be asked again, says its key."""
    async with waited(f"{key} is answered"):
        while True:
            try:
                async with hub.client() as client:
                    made = await client.spawn(
                        key, repo=repo, command="true", until="queued", idempotency_key=key
                    )
            except (Unavailable, LinkLost):  # nothing else may come of it
                await asyncio.sleep(0.05)
            else:
                return made.session_id


async def test_fault_05_postgres_crashes_under_load(
    here: Town, cluster: Cluster, repo: str
) -> None:
    async def caller(n: int) -> list[str]:
        return [await _insist(here, f"c{n}-{m}", repo) for m in range(6)]

    async with here.client() as hub:
        counting = await hub.spawn("n", repo=repo, command="sh", args=["-c", COUNT])
    calling = [asyncio.create_task(caller(n)) for n in range(4)]
    for _ in range(3):
        await asyncio.sleep(0.3)  # some calls get through between two crashes
        await _crash(cluster)
    acked = [id for ids in await asyncio.gather(*calling) for id in ids]
    assert len(set(acked)) == 24
    (Path(str(counting.worktree)) / "stop").touch()
    async with here.client() as hub:
        for session in await ended(hub, *acked, counting.session_id):
            assert session.state == "completed"
        check_count(lines(await story(hub, counting.session_id)))
    await here.settled()


async def test_fault_31_postgres_is_away_while_an_agent_writes_fifty_megabytes(
    here: Town, cluster: Cluster, repo: str
) -> None:
    script = (
        'read -r _; x=$(printf "%0990d" 7); '
        f'i=0; while [ $i -lt {LONG_LINES} ]; do i=$((i+1)); echo "$i $x"; done; touch done'
    )
    async with here.client() as hub:
        made = await hub.spawn("w", repo=repo, command="bash", args=["-c", script])
        await hub.message(made.session_id, "go")
        await _stop(cluster, signal.SIGINT)
    written = Path(str(made.worktree)) / "done"
    try:
        await until(written.exists, "its agent has written all")
    finally:
        await cluster._launch()
    async with here.client() as hub:
        [session] = await ended(hub, made.session_id)
        assert session.state == "completed"
    async with here.database() as db:
        many = await db.fetchval(
            "SELECT count(DISTINCT split_part(body ->> 'text', ' ', 1)) FROM session_events"
            " WHERE session_id = $1 AND kind = 'stdout'",
            made.session_id,
        )
    assert many == LONG_LINES
    await here.settled()


async def test_fault_35_the_schema_grows_while_it_serves(here: Town, repo: str) -> None:
    """First add, then deploy: a new column disturbs no call of the hub that does not know it."""
    stop = asyncio.Event()

    async def caller(hub: coord.Hub) -> int:
        n = 0
        while not stop.is_set():
            made = await hub.spawn(f"m{n}", repo=repo, command="true", until="queued")
            await hub.status(made.session_id)
            await hub.wait(made.session_id)  # however long it takes: so no crowd piles up
            n += 1
        return n

    async with here.client() as hub:
        calling = [asyncio.create_task(caller(hub)) for _ in range(3)]
        async with here.database() as db:
            for n, table in enumerate(("sessions", "mappings", "spokes", "commands", "messages")):
                await _insist_on(db, f"ALTER TABLE {table} ADD COLUMN later_{n} int DEFAULT 1")
                assert await postgres.migrate(here.dsn) == []
        stop.set()
        assert all(await asyncio.gather(*calling))
    await here.settled()


async def _insist_on(db: asyncpg.Connection, change: str) -> None:
    """As a migration under load is made: it waits briefly for its lock, and tries again."""
    await db.execute("SET lock_timeout = '200ms'")
    while True:
        try:
            await db.execute(change)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            continue
        return
