"""From `coord.abort` to a receipt that says that everything was seen dead."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

import coord
from tests.benchmarks import ground
from tests.benchmarks.first_line import SETTLE_S, first_line, spokes_online
from tests.benchmarks.stage import Stage
from tests.benchmarks.table import Row, Value, at_most, latency

MOST_MS = 20.0
BRANCHING = 5
ONE = ("sh", "-c", "echo ready; exec sleep 1000")
PROCESSES = 30
_FORKS = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        break
else:
    print("ready", flush=True)
signal.pause()
"""
MANY = (sys.executable, "-S", "-E", "-c", _FORKS, str(PROCESSES))
FLOOR = "INT + wait"
PAR_MANY = 8.7  #: where nothing else runs, 10 children die within 1.1 ms and 100 within 6.4


async def figure(stage: Stage) -> list[Row]:
    """The agents obey INT."""
    repo = await asyncio.to_thread(ground.repository, stage.folder / "repo", 3)
    hub = await stage.hub()
    await stage.spoke(hub, "anvil", pool=2)
    scale = stage.scale
    async with coord.connect(hub.ready["url"], hub.ready["token"]) as client:
        await spokes_online(client, 1)

        async def one() -> float:
            return await _abort(client, [await _spawn(client, repo, ONE)])

        seen: list[float] = []

        async def tree() -> float:
            return await _abort(client, await _tree(client, repo, scale.tree), seen)

        async def many() -> float:
            return await _abort(client, [await _spawn(client, repo, MANY)])

        ours, floor = await _beside(scale.times, one, [ONE])
        rows = [_row("abort, 1 session", ours, floor, MOST_MS)]
        ours, floor = await _beside(scale.few, many, [MANY])
        name = f"abort, 1 session of {PROCESSES} processes"
        rows.append(_row(name, ours, floor, MOST_MS, PAR_MANY))
        ours, floor = await _beside(scale.few, tree, [ONE] * scale.tree)
        rows.append(_row(f"abort, a tree of {scale.tree} sessions", ours, floor, MOST_MS))
        name = f"abort, each of a tree of {scale.tree} seen dead"
        rows.append(_row(name, latency(seen), floor, MOST_MS, PAR_MANY))
        return rows


async def _beside(
    times: int, ours: Callable[[], Awaitable[float]], plain: Sequence[Sequence[str]]
) -> tuple[Value, Value]:
    took: list[float] = []
    floor: list[float] = []
    for _ in range(times):
        took.append(await ours())
        floor.append(await asyncio.to_thread(ground.interrupt_and_wait, plain))
    return latency(took), latency(floor)


async def _spawn(
    client: coord.Hub, repo: str, argv: Sequence[str], parent: str | None = None
) -> str:
    """A session whose agent is ready to be interrupted."""
    command, *args = argv
    under = {} if parent is None else {"parent_session_id": parent}
    session = await client.spawn("wait", repo=repo, command=command, args=args, **under)  # type: ignore[arg-type]
    await first_line(client, session.session_id)
    return session.session_id


async def _tree(client: coord.Hub, repo: str, sessions: int) -> list[str]:
    """Each session has up to five children; the root is the first."""
    ids = [await _spawn(client, repo, ONE)]
    parents = iter(list(ids))
    while len(ids) < sessions:
        parent = next(parents)
        more = min(BRANCHING, sessions - len(ids))
        level = await asyncio.gather(*(_spawn(client, repo, ONE, parent) for _ in range(more)))
        parents = iter([*parents, *level])
        ids += level
    return ids


async def _abort(client: coord.Hub, ids: list[str], seen: list[float] | None = None) -> float:
    """Until the receipt. ``seen``: gets for each process the time until it was seen dead."""
    await asyncio.sleep(SETTLE_S)
    began, clock = time.perf_counter(), time.time()
    receipt = await client.abort(ids[0])
    took = time.perf_counter() - began
    assert receipt.complete, receipt
    assert len(receipt.sessions) == len(ids)
    assert {one.ended_by for one in receipt.sessions} == {"SIGINT"}, receipt
    if seen is not None:
        seen += [one.ended_at.timestamp() - clock for one in receipt.sessions if one.ended_at]
    return took


def _row(name: str, ours: Value, floor: Value, most: float, par: float | None = None) -> Row:
    return at_most(name, ours, most, floor, FLOOR, par)
