"""Durable spawns that start nothing: over the websocket and at the store, beside a queue."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.benchmarks.stage import Stage
from tests.benchmarks.table import Row, Value, at_least, at_most, rate, rounds

CALLERS = (1, 32)
LINKS = {1: {"program": 1}, 32: {"program": 1, "programs": 32}}
SPAWN = {
    "task": "task",
    "repo": "https://example.invalid/team/repository.git",
    "prompt": "p" * 200,
    "command": "true",
    "until": "queued",
}
LEAST = {1: 2_000, 32: 10_000}  #: a second
MOST_MS = 2.5
# Where nothing else runs: pgqueuer 1,800/s and 3,200/s, an answer of 3.3 ms under load.
PAR = {1: 1.1, 32: 3.2}
PAR_LATENCY = 0.75
_DOERS = ("insert", "pgqueuer", "store")
_Answers = dict[tuple[str, int], list[dict[str, Any]]]


async def figure(stage: Stage) -> list[Row]:
    hub = await stage.hub()
    client = await stage.start("client", links=max(CALLERS), **hub.ready)
    jobs = await stage.start("jobs", ours=await stage.database(), theirs=await stage.database())
    answers: _Answers = defaultdict(list)
    seconds = stage.scale.seconds
    hub_cpu, spawned = hub.cpu(), 0
    for _ in range(stage.scale.rounds):
        for callers in CALLERS:
            for doer in _DOERS:
                said = await jobs.ask(op=doer, callers=callers, seconds=seconds)
                answers[doer, callers].append(said)
            for way, links in LINKS[callers].items():
                said = await client.ask(
                    op="ask", ask="coord.spawn", params=SPAWN, links=links, callers=callers,
                    seconds=seconds,
                )  # fmt: skip
                answers[way, callers].append(said)
                spawned += said["calls"]
    used = (hub.cpu() - hub_cpu) / spawned * 1e6
    stage.note(f"spawns: the hub used {used:.0f} us CPU for each; pgqueuer with 8 connections")
    return _rows(answers)


def _rows(answers: _Answers) -> list[Row]:
    rows: list[Row] = []
    for callers in CALLERS:
        who = "1 caller" if callers == 1 else f"{callers} callers"
        floor, peer = _rate(answers["insert", callers]), _rate(answers["pgqueuer", callers])
        ways = [("over one websocket", "program"), ("at the store", "store")]
        if callers > 1:
            ways.insert(1, (f"over {callers} websockets", "programs"))
        for where, way in ways:
            ours, name = _rate(answers[way, callers]), f"spawns, {who} {where}"
            rows.append(at_least(name, ours, LEAST[callers], peer, "pgqueuer", PAR[callers]))
            rows.append(Row(name, ours, floor, "INSERT, one per commit"))
        took = _took(answers["program", callers])
        beside = _took(answers["pgqueuer", callers])
        rows.append(at_most(f"a spawn, {who}", took, MOST_MS, beside, "pgqueuer", PAR_LATENCY))
    return rows


def _rate(said: list[dict[str, Any]]) -> Value:
    return rate([one["calls"] / one["seconds"] for one in said])


def _took(said: list[dict[str, Any]]) -> Value:
    return rounds([one["p50"] for one in said], [one["p99"] for one in said])
