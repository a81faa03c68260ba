"""What an idle client costs its hub, and what it is like when many come back at once."""

from __future__ import annotations

from tests.benchmarks.stage import Process, Stage
from tests.benchmarks.table import Row, Value, at_most, latency

WARM = 0.1  #: of the connections come before the first look
STORM_S = 10.0  #: within which all must be back


async def figure(stage: Stage) -> list[Row]:
    clients, many = stage.scale.clients, stage.scale.clients // 10
    hub, bare = await stage.hub(), await stage.start("peers", kind="echo")
    ours = await stage.start("crowd", **hub.ready)
    beside = await stage.start("crowd", **bare.ready)
    each = await _grow(ours, hub, clients)
    least = await _grow(beside, bare, clients)
    storms = [await ours.ask(op="storm", clients=many) for _ in range(stage.scale.rarely)]
    floor = latency(
        [(await beside.ask(op="storm", clients=many))["took"] for _ in range(stage.scale.rarely)]
    )
    worst = max(storm["worst"] for storm in storms) * 1e3
    stage.note(
        f"clients: while {many:,} of {clients:,} came back, one that stayed waited {worst:.0f} ms"
        " at the most, and no other link was lost"
    )
    took = latency([storm["took"] for storm in storms])
    return [
        Row(f"memory of an idle client, {clients:,} of them", _kb(each), _kb(least),
            "bare websocket"),
        at_most(f"{many:,} clients come back at once", took, STORM_S * 1e3, floor,
                "bare websockets"),
    ]  # fmt: skip


async def _grow(crowd: Process, server: Process, clients: int) -> float:
    """Bytes for each connection after the first few."""
    few = max(1, int(clients * WARM))
    await crowd.ask(op="arrive", clients=few)
    before = server.memory()
    await crowd.ask(op="arrive", clients=clients - few)
    return (server.memory() - before) / (clients - few)


def _kb(size: float) -> Value:
    return Value(size / 1024, "KiB")
