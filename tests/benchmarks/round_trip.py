"""A call and its answer: through the hub's door, beside a bare echo and beside bare pydantic."""

from __future__ import annotations

import json
from collections import defaultdict
from statistics import median

from tests.benchmarks.bench_ops import STATUS_PARAMS
from tests.benchmarks.stage import Process, Stage
from tests.benchmarks.table import Row, Value, at_least_of, rate, rounds

TAIL = f'"method":"bench.status","params":{json.dumps(STATUS_PARAMS, separators=(",", ":"))}}}'
IN_FLIGHT = 16
LEAST = 0.8  #: of the rate of a server that checks types, and nothing else
SERVERS = ("hub", "echo", "typed")


async def figure(stage: Stage) -> list[Row]:
    """`bench.status` is authorised, validated and answered; it asks no database."""
    hub = await stage.hub()
    servers = {"hub": hub, **{kind: await stage.start("peers", kind=kind) for kind in SERVERS[1:]}}
    loader = await stage.start("loader")
    for name, server in servers.items():
        await loader.ask(op="connect", name=name, links=stage.scale.links, **server.ready)
    ours = await stage.start("client", links=1, **hub.ready)
    said = _Said()
    for _ in range(stage.scale.rounds):
        for name, server in servers.items():
            await _round(stage, loader, name, server, said)
        await _client(stage, ours, said)
    stage.note(f"round trip: {said.bytes['hub'][0]} B asked, {said.bytes['hub'][1]} B answered")
    return _rows(said, stage.scale.links)


class _Said:
    """What the rounds gave, by server."""

    def __init__(self) -> None:
        self.p50: defaultdict[str, list[float]] = defaultdict(list)
        self.p99: defaultdict[str, list[float]] = defaultdict(list)
        self.rates: defaultdict[str, list[float]] = defaultdict(list)
        self.cpu: defaultdict[str, list[float]] = defaultdict(list)  # us per call
        self.bytes: dict[str, list[int]] = {}

    def latency(self, name: str) -> Value:
        return rounds(self.p50[name], self.p99[name])

    def per_call(self, name: str) -> Value:
        return Value(median(self.cpu[name]), "us CPU")


async def _round(stage: Stage, loader: Process, name: str, server: Process, said: _Said) -> None:
    seconds = stage.scale.seconds
    one = await loader.ask(op="sequential", name=name, tail=TAIL, seconds=seconds)
    said.p50[name].append(one["p50"])
    said.p99[name].append(one["p99"])
    said.bytes[name] = one["bytes"]
    before = server.cpu()
    many = await loader.ask(op="many", name=name, tail=TAIL, seconds=seconds, in_flight=IN_FLIGHT)
    said.rates[name].append(many["calls"] / many["seconds"])
    said.cpu[name].append((server.cpu() - before) / many["calls"] * 1e6)


async def _client(stage: Stage, client: Process, said: _Said) -> None:
    """One caller with our own client instead of the load generator."""
    one = await client.ask(
        op="ask", ask="bench.status", params=STATUS_PARAMS, links=1, callers=1,
        seconds=stage.scale.seconds,
    )  # fmt: skip
    said.p50["client"].append(one["p50"])
    said.p99["client"].append(one["p99"])


def _rows(said: _Said, links: int) -> list[Row]:
    crowd = f"{links} x {IN_FLIGHT} in flight"
    what = {"echo": "bare echo", "typed": "websockets + pydantic"}
    return [
        *(Row("call, 1 link", said.latency("hub"), said.latency(n), what[n]) for n in what),
        Row("call, 1 link, our client", said.latency("client"), said.latency("echo"), what["echo"]),
        Row(f"calls, {crowd}", rate(said.rates["hub"]), rate(said.rates["echo"]), what["echo"]),
        at_least_of(f"calls, {crowd}", rate(said.rates["hub"]), LEAST, rate(said.rates["typed"]),
                    what["typed"]),
        *(Row(f"server, {crowd}", said.per_call("hub"), said.per_call(n), what[n]) for n in what),
    ]  # fmt: skip
