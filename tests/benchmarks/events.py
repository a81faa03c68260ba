"""Lines per second of one agent: spool, spoke, Postgres and hub, to a subscriber that checks."""

from __future__ import annotations

import asyncio
import time
from statistics import median

import asyncpg

import coord
from tests.benchmarks import ground
from tests.benchmarks.first_line import spokes_online
from tests.benchmarks.stage import Stage
from tests.benchmarks.table import Row, at_least, rate

LEAST = 20_000
BATCH = 256  #: as a spoke sends them
_TABLE = "CREATE TABLE line (id bigint PRIMARY KEY, text text NOT NULL)"
_INSERT = "INSERT INTO line SELECT * FROM unnest($1::bigint[], $2::text[])"
_Used = dict[str, list[float]]


async def figure(stage: Stage) -> list[Row]:
    lines = stage.scale.lines
    repo = await asyncio.to_thread(ground.repository, stage.folder / "repo", 3)
    hub = await stage.hub()
    spoke = await stage.spoke(hub, "anvil", pool=2)
    reader = await stage.start("client", links=1, **hub.ready)
    floor = await asyncpg.connect(await stage.database())
    await floor.execute(_TABLE)
    async with coord.connect(hub.ready["url"], hub.ready["token"]) as client:
        await spokes_online(client, 1)
    argv = ["-f", "a line that an agent says while it works: number %.0f", str(lines)]
    work = {"repo": repo, "command": "seq", "args": argv}
    rates: list[float] = []
    floors: list[float] = []
    used: _Used = {"agent + supervisor + spoke": [], "hub": [], "postgres": [], "reader": []}
    for n in range(stage.scale.rounds):
        before = spoke.cpu(), hub.cpu(), stage.postgres_cpu()
        said = await reader.ask(op="read", work=work, lines=lines)
        await spoke.ask(op="ready", repo=repo)
        after = spoke.cpu(), hub.cpu(), stage.postgres_cpu()
        rates.append((lines - 1) / max(said["seconds"], 1e-9))
        seconds = [b - a for a, b in zip(before, after, strict=True)] + [said["cpu"]]
        for name, one in zip(used, seconds, strict=True):
            used[name].append(one)
        floors.append(await _floor(floor, n, lines))
    await floor.close()
    shown = ", ".join(f"{name} {median(one):.1f} s" for name, one in used.items())
    stage.note(f"events: CPU for {lines:,} lines: {shown}")
    what = f"INSERT of {BATCH} per commit"
    return [at_least("events to a subscriber", rate(rates), LEAST, rate(floors), what)]


async def _floor(db: asyncpg.Connection[asyncpg.Record], n: int, lines: int) -> float:
    """Rows per second, in the same batches, straight into a plain table."""
    began = time.perf_counter()
    for first in range(n * lines, (n + 1) * lines, BATCH):
        ids = range(first, min(first + BATCH, (n + 1) * lines))
        await db.execute(_INSERT, list(ids), [f"a line that an agent says: {id}" for id in ids])
    return lines / (time.perf_counter() - began)
