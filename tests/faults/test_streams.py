"""Very much is said, while hubs ring for each other, and while somebody does not listen."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

import coord
from hub.store.wire import CHANNEL
from tests.support.proxy import proxy_to
from tests.support.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="module")

HUBS = 2
SPOKES = ("anvil",)
BURST = 10_000  # lines
LONG = 40_000  # lines of a thousand bytes each
SOME_MB = 16  # that a hub may need for who does not read; what is not read is 40 MB


async def test_fault_29_very_many_events_with_bells_between_hubs(here: Town, repo: str) -> None:
    """No transaction that writes carries a word to the others: that would put all commits of a
    database into one row. They are told beside it, a few times in all; and hear everything."""
    rung: list[str] = []

    def ring(*said: object) -> None:
        rung.append(str(said[-1]))

    async with here.client(0) as first, here.client(1) as second, here.database() as db:
        [told] = await db.fetch("SELECT count(*) FROM pg_proc WHERE prosrc ~* '\\mnotify\\M'")
        assert told["count"] == await _by_postgres_itself(db)
        await db.add_listener(CHANNEL, ring)
        made = await first.spawn("a", repo=repo, command="seq", args=[str(BURST)])
        heard: list[str] = []
        async for event in second.events(made.session_id):
            if event.kind == "stdout":
                heard.append(str(event.body["text"]))
        assert heard == [str(n) for n in range(1, BURST + 1)]
        assert 0 < len(rung) < BURST / 10
        await db.remove_listener(CHANNEL, ring)
    await here.settled()


async def _by_postgres_itself(db: asyncpg.Connection) -> int:
    """Its own `pg_notify` and the like, which every database has."""
    return await db.fetchval(
        "SELECT count(*) FROM pg_proc WHERE prosrc ~* '\\mnotify\\M'"
        " AND pronamespace = 'pg_catalog'::regnamespace"
    )


async def test_fault_30_a_reader_stops_reading(here: Town, repo: str) -> None:
    """It is a link that takes no more. The hub keeps a little for it, and serves all others."""
    async with here.client() as hub, proxy_to(here.ports[0]) as way:
        await _talk(hub, await _talker(hub, repo))  # so much memory it takes when all read
        id = await _talker(hub, repo)
        async with coord.connect(f"ws://127.0.0.1:{way.port}", here.token) as deaf:
            events = deaf.events(id)
            await anext(events)  # it reads, and then it does not any more
            way.hold("down")
            before = _memory(here.hub.pid)
            await _talk(hub, id)
            assert (_memory(here.hub.pid) - before) >> 20 < SOME_MB
            assert way.held, "there is something that it has not read"
            way.free()
            rest = [event async for event in events if event.kind == "stdout"]
            assert len(rest) == LONG, "and nothing that it misses"
    await here.settled()


async def _talker(hub: coord.Hub, repo: str) -> str:
    """Waits for a word, and says very much."""
    loop = f'read -r _; i=0; while [ $i -lt {LONG} ]; do i=$((i+1)); echo "$i $x"; done'
    script = f'x=$(printf "%0990d" 7); {loop}'
    made = await hub.spawn("a", repo=repo, command="bash", args=["-c", script])
    return made.session_id


async def _talk(hub: coord.Hub, id: str) -> None:
    await hub.message(id, "go")
    seen = 0
    async for event in hub.events(id):
        if event.kind == "stdout":
            seen += 1
            assert str(event.body["text"]).startswith(f"{seen} ")
    assert seen == LONG


def _memory(pid: int) -> int:
    """What it keeps, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10
