"""What it costs to know the truth: idle spokes, dead ones, restarted daemons, aborts of many."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping

import asyncpg

import coord
from tests.benchmarks.stage import Process, Stage
from tests.benchmarks.table import Row, Value, latency
from tests.support.repositories import make_repository

LEASE_S = 3.0  #: for the spoke that dies; what is measured comes on top of it
TALK = "while :; do echo x; sleep 0.2; done"
HELD = 50  #: sessions of the daemon that is restarted
IDLE = 4  #: times as many spokes as elsewhere,
ABORTED = 2  #: and as many sessions
WINDOW_S = 16.0  #: times a round: some beats of the hub itself
AT_ONCE = 64  #: spokes that knock together

_NEWEST = """
SELECT datname FROM pg_stat_database WHERE datname LIKE 'bench%' ORDER BY datid DESC LIMIT 1
"""
_WRITES = """
SELECT sum(tup_inserted + tup_updated + tup_deleted)::float, sum(xact_commit)::float
  FROM pg_stat_database WHERE datname = $1
"""


async def figure(stage: Stage) -> list[Row]:
    return [*await _idle(stage), *await _abort(stage), await _reattach(stage)]


async def _idle(stage: Stage) -> list[Row]:
    """A spoke of another hub dies meanwhile: both wait more than they work."""
    count = IDLE * stage.scale.spokes
    hub, herd = await _herd(stage, count)
    db = await asyncpg.connect(stage.server.dsn)
    try:
        await asyncio.sleep(stage.scale.seconds * 3)  # the hellos are over
        [name] = (row["datname"] for row in await db.fetch(_NEWEST))
        began, busy, before = time.monotonic(), hub.cpu(), await db.fetchrow(_WRITES, name)
        _, notice = await asyncio.gather(
            asyncio.sleep(stage.scale.seconds * WINDOW_S), _notice(stage)
        )
        spent, after = time.monotonic() - began, await db.fetchrow(_WRITES, name)
    finally:
        await db.close()
    share = (hub.cpu() - busy) / spent * 100
    await herd.end()
    await hub.end()
    rows, commits = ((after[n] - before[n]) / spent for n in range(2))
    stage.note(
        f"truth: {count:,} idle spokes cost {commits:.1f} commits/s, reads included,"
        f" and {share:.1f} % of a core in their hub"
    )
    row = Row(
        f"rows written with {count:,} idle spokes", Value(rows, "/s"), target="< 50 /s",
        met=rows < 50,
    )  # fmt: skip
    return [row, notice]


async def _notice(stage: Stage) -> Row:
    hub, herd = await _herd(
        stage, 1, lease_seconds=LEASE_S, heartbeat_seconds=LEASE_S / 5, grace_seconds=0
    )
    async with coord.connect(hub.ready["url"], hub.ready["token"]) as client:
        began = time.monotonic()
        await herd.ask(op="die")
        while (await client.spokes())[0].state == "online":
            await asyncio.sleep(0.02)
        took = time.monotonic() - began - LEASE_S
    await herd.end()
    await hub.end()
    target, most = "<= 5,000 ms", 5.0
    return Row("a dead spoke is noticed: after its lease", latency([took]), target=target,
               met=took <= most)  # fmt: skip


async def _abort(stage: Stage) -> list[Row]:
    count = ABORTED * stage.scale.spokes
    hub, herd = await _herd(stage, 2)
    async with coord.connect(hub.ready["url"], hub.ready["token"]) as client:
        top = await client.spawn("top", repo="/r", command="true", until="queued")
        made = await client.swarm(
            [f"t{n}" for n in range(count - 1)], repo="/r", command="true", until="queued",
            parent_session_id=top.session_id,
        )  # fmt: skip
        assert made.failed == 0, made
        await herd.ask(op="told", kind="start", count=count)
        began = time.monotonic()
        await client.abort(top.session_id, wait=False)
        marked = time.monotonic() - began
        await herd.ask(op="told", kind="stop", count=count)
        told = time.monotonic() - began
    await herd.end()
    await hub.end()
    return [
        Row(f"abort of {count:,} sessions: marked", latency([marked])),
        Row(f"abort of {count:,} sessions: told", latency([told])),
    ]


async def _reattach(stage: Stage) -> Row:
    count = min(HELD, stage.scale.spokes)
    repo = make_repository(stage.folder / "repo")
    hub = await stage.hub()
    daemon = await stage.spoke(hub, "anvil", pool=0)
    async with coord.connect(hub.ready["url"], hub.ready["token"]) as client:
        made = await client.swarm(
            [f"t{n}" for n in range(count)], repo=repo, command="sh", args=["-c", TALK]
        )
        assert made.failed == 0, made
        os.kill(daemon.pid, signal.SIGKILL)
        await daemon.end()
        stood = await _stand(client)
        began = time.monotonic()
        await stage.start("spoke", state=str(stage.spokes[-1]), join="", pool=0)
        while any(seq <= stood[id] for id, seq in (await _stand(client)).items()):
            await asyncio.sleep(0.02)
        took = time.monotonic() - began
    name = f"a daemon is started again: {count} sessions speak"
    return Row(name, latency([took]), target="<= 10,000 ms", met=took <= 10)


async def _stand(client: coord.Hub) -> Mapping[str, int]:
    found = await client.status(live=True, limit=500)
    return {one.session_id: one.last_seq for one in found.sessions}


async def _herd(stage: Stage, spokes: int, **settings: object) -> tuple[Process, Process]:
    """A hub, and spokes that are connected to it."""
    hub = await stage.hub(**settings)
    herd = await stage.start("herd", spokes=spokes)
    known = await hub.ask(op="enroll", spokes=herd.ready["spokes"])
    for first in range(0, spokes, AT_ONCE):
        where = {"hubId": known["hubId"], "url": hub.ready["url"]}
        await herd.ask(op="arrive", first=first, last=first + AT_ONCE, **where)
    return hub, herd
