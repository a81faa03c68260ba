"""What an idle spoke costs its hub: memory, and CPU while nothing happens."""

from __future__ import annotations

import asyncio
import time

from tests.benchmarks.stage import Process, Stage
from tests.benchmarks.table import Row, Value

WARM = 0.1  #: of the connections come before the first look


async def figure(stage: Stage) -> list[Row]:
    spokes = stage.scale.spokes
    hub, bare = await stage.hub(), await stage.start("peers", kind="echo")
    fleet = await stage.start("fleet", spokes=spokes)
    known = await hub.ask(op="enroll", spokes=fleet.ready["spokes"])
    ours = await _grow(fleet, hub, spokes, op="arrive", hubId=known["hubId"], url=hub.ready["url"])
    beside = await _grow(fleet, bare, spokes, op="bare", url=bare.ready["url"])
    began, used, asked = time.monotonic(), hub.cpu(), stage.postgres_cpu()
    await asyncio.sleep(stage.scale.seconds * 5)
    spent = time.monotonic() - began
    hub_share = (hub.cpu() - used) / spent * 100
    postgres_share = (stage.postgres_cpu() - asked) / spent * 100
    stage.note(
        f"memory: {spokes} idle spokes keep {hub_share:.1f} % of a core busy in the hub"
        f" and {postgres_share:.1f} % in Postgres"
    )
    return [Row("memory of an idle spoke's link", _kb(ours), _kb(beside), "bare websocket")]


async def _grow(fleet: Process, server: Process, spokes: int, **how: object) -> float:
    """Bytes for each connection after the first few."""
    few = max(1, int(spokes * WARM))
    await fleet.ask(first=0, last=few, **how)
    before = server.memory()
    await fleet.ask(first=few, last=spokes, **how)
    return (server.memory() - before) / (spokes - few)


def _kb(size: float) -> Value:
    return Value(size / 1024, "KiB")
