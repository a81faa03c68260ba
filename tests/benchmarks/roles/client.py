"""A program that uses `coord.connect`: asks, reads a session's story, gives up many calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from statistics import median, quantiles
from typing import Any

import coord
from protocol.errors import CallError
from tests.benchmarks.channel import Channel, run


async def main(channel: Channel, given: Mapping[str, Any]) -> None:
    async with AsyncExitStack() as stack:
        hubs = [
            await stack.enter_async_context(coord.connect(given["url"], given["token"]))
            for _ in range(given["links"])
        ]
        channel.say({})
        async for asked in channel.requests():
            match asked["op"]:
                case "ask":
                    channel.say(await _ask(hubs[: asked["links"]], asked))
                case "read":
                    channel.say(await _read(hubs[0], asked))
                case "hold":
                    held = _hold(hubs, asked)
                    channel.say({})
                case "give_up":
                    channel.say(await _give_up(held))


def summary(took: Sequence[float]) -> dict[str, Any]:
    """Of latencies in seconds."""
    p99 = quantiles(took, n=100)[98] if len(took) > 1 else took[0]
    return {"calls": len(took), "p50": median(took), "p99": p99}


async def _ask(hubs: list[coord.Hub], asked: Mapping[str, Any]) -> dict[str, Any]:
    """``callers`` that ask one thing after the other."""
    took: list[float] = []
    began, used = time.perf_counter(), time.process_time()
    until = began + asked["seconds"]

    async def caller(hub: coord.Hub) -> None:
        while (at := time.perf_counter()) < until or not took:  # one at least, however late
            await hub.call(asked["ask"], asked["params"])
            took.append(time.perf_counter() - at)

    await asyncio.gather(*(caller(hubs[n % len(hubs)]) for n in range(asked["callers"])))
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    return {**summary(took), "seconds": seconds, "cpu": cpu}


async def _read(hub: coord.Hub, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Spawn a session, and read its lines, which count up: each once and in order."""
    used = time.process_time()
    session = await hub.spawn("talk", **asked["work"], until="queued")
    expected, first, last = 1, 0.0, 0.0
    async for event in hub.events(session.session_id):
        if event.kind != "stdout":
            continue
        assert int(str(event.body["text"]).rpartition(" ")[2]) == expected, event
        last = time.perf_counter()
        first = first or last
        expected += 1
    assert expected == asked["lines"] + 1, expected
    cpu = time.process_time() - used
    return {"seconds": last - first, "cpu": cpu}


def _hold(hubs: list[coord.Hub], asked: Mapping[str, Any]) -> list[asyncio.Task[Any]]:
    """Place calls that nobody answers; each link asks one of the spokes."""
    return [
        asyncio.create_task(hub.call("bench.nest", {"spokeId": spoke}))
        for hub, spoke in zip(hubs, asked["spokes"], strict=True)
        for _ in range(asked["each"])
    ]


async def _give_up(held: list[asyncio.Task[Any]]) -> dict[str, Any]:
    """Cancel all: each task ends when its abort has been confirmed."""
    assert not any(task.done() for task in held)
    began = time.perf_counter()
    for task in held:
        task.cancel()
    ends = await asyncio.gather(*held, return_exceptions=True)
    took = time.perf_counter() - began
    assert all(isinstance(end, asyncio.CancelledError | CallError) for end in ends)
    return {"took": took}


if __name__ == "__main__":
    run(main)
