"""From `coord.spawn` to the first line of the agent, by the agent's own clock."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import coord
from protocol.ops.sessions import Event
from tests.benchmarks import ground
from tests.benchmarks.stage import Process, Stage
from tests.benchmarks.table import Row, at_most, latency, over_floor

OVER_FLOOR_MS = 10.0
POOLED_MS = {3: 10.0, 5_000: 50.0, 50_000: 200.0}
# Where nothing else runs, the floor is 15, 253 and 2,280 ms.
PAR = {3: 0.66, 5_000: 0.2, 50_000: 0.09}
NAMES = {3: "tiny", 5_000: "5,000 files", 50_000: "50,000 files"}
SETTLE_S = 0.25  #: between spawns; then the spare supervisor is there again, as on a quiet spoke
FLOOR = "git worktree add + exec"


async def figure(stage: Stage) -> list[Row]:
    hub = await stage.hub()
    fresh = await stage.spoke(hub, "fresh", pool=0)
    pooled = await stage.spoke(hub, "pooled", pool=1)
    rows: list[Row] = []
    async with coord.connect(hub.ready["url"], hub.ready["token"]) as client:
        await spokes_online(client, 2)
        for files in stage.scale.files:
            rows += await _repository(stage, client, fresh, pooled, files)
    return rows


async def spokes_online(client: coord.Hub, how_many: int) -> None:
    async with asyncio.timeout(30):
        while sum(one.state == "online" for one in await client.spokes()) < how_many:
            await asyncio.sleep(0.02)


async def first_line(client: coord.Hub, session_id: str) -> Event:
    """The first line that an agent said."""
    async for event in client.events(session_id):
        if event.kind == "stdout":
            return event
    raise AssertionError(f"{session_id} said nothing")


async def _repository(
    stage: Stage, client: coord.Hub, fresh: Process, pooled: Process, files: int
) -> list[Row]:
    repo = await asyncio.to_thread(ground.repository, stage.folder / f"repo{files}", files)
    times = {3: stage.scale.times, 5_000: stage.scale.few, 50_000: stage.scale.rarely}[files]
    took: dict[str, list[float]] = {"floor": [], "fresh": [], "pooled": []}
    for n in range(times + 1):
        one: dict[str, float] = {}
        for name, spoke in (("fresh", fresh), ("pooled", pooled)):
            await spoke.ask(op="ready", repo=repo)
            await asyncio.sleep(SETTLE_S)
            one[name] = await _spawn(client, repo, name)
        await pooled.ask(op="ready", repo=repo)
        if n == 0:  # that made the clones
            continue
        where = stage.folder / f"floor{files}-{n}"
        one["floor"] = await asyncio.to_thread(ground.add_and_exec, repo, where, f"floor{n}")
        for name in took:
            took[name].append(one[name])
    ours, floor_value = latency(took["fresh"]), latency(took["floor"])
    return [
        over_floor(f"first line, {NAMES[files]}, fresh", ours, floor_value, OVER_FLOOR_MS, FLOOR),
        at_most(f"first line, {NAMES[files]}, from the pool", latency(took["pooled"]),
                POOLED_MS[files], floor_value, FLOOR, PAR[files]),
    ]  # fmt: skip


async def _spawn(client: coord.Hub, repo: str, spoke: str) -> float:
    """Seconds from the call to the first line."""
    command, *args = ground.CLOCK
    began = time.time_ns()
    session = await client.spawn("clock", repo=repo, command=command, args=args, spoke=spoke)
    line = await first_line(client, session.session_id)
    await client.wait(session.session_id)
    return (int(str(line.body["text"])) - began) / 1e9


def worktree(text: str | None) -> Path:
    assert text is not None
    return Path(text)
