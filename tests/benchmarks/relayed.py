"""A call that the hub passes on to a spoke: client - hub - spoke and back, beside a bare relay."""

from __future__ import annotations

import json
from statistics import median

from tests.benchmarks.stage import Stage
from tests.benchmarks.table import Row, Value, at_least, rate

SPOKES = 8  #: a link carries 256 calls at once
IN_FLIGHT = 16  #: on each connection of the crowd
LEAST = 10_000.0  #: calls a second, on two cores
PAR = 0.59  # where nothing else runs, two cores carry 16,950 a second through the bare relay


async def figure(stage: Stage) -> list[Row]:
    hub = await stage.hub()
    fleet = await stage.start("fleet", spokes=SPOKES)
    known = await hub.ask(op="enroll", spokes=fleet.ready["spokes"])
    await fleet.ask(op="arrive", first=0, last=SPOKES, hubId=known["hubId"], url=hub.ready["url"])
    echo = await stage.start("peers", kind="echo")
    relay = await stage.start("peers", kind="relay", to=echo.ready["url"])
    loader = await stage.start("loader")
    for name, server in (("hub", hub), ("relay", relay)):
        await loader.ask(op="connect", name=name, links=stage.scale.links, **server.ready)
    params = json.dumps({"spokeIds": [one["id"] for one in fleet.ready["spokes"]]})
    tail = f'"method":"bench.relay","params":{params}}}'
    rates: dict[str, list[float]] = {"hub": [], "relay": []}
    cpu: list[float] = []
    for _ in range(stage.scale.rounds):
        for name in rates:
            before = hub.cpu()
            many = await loader.ask(
                op="many", name=name, tail=tail, seconds=stage.scale.seconds, in_flight=IN_FLIGHT
            )
            rates[name].append(many["calls"] / many["seconds"])
            if name == "hub":
                cpu.append((hub.cpu() - before) / many["calls"] * 1e6)
    crowd = f"{stage.scale.links} x {IN_FLIGHT} in flight"
    return [
        at_least(f"relayed calls, {crowd}", rate(rates["hub"]), LEAST, rate(rates["relay"]),
                 "bare relay", PAR),
        Row(f"hub, relayed, {crowd}", Value(median(cpu), "us CPU")),
    ]  # fmt: skip
