"""A load generator that knows frames and nothing else, the same for all servers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from protocol.limits import RPC_PATH, SUBPROTOCOL
from tests.benchmarks.channel import Channel, run
from tests.benchmarks.roles.client import summary

HELLO = {"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": {
    "protocolVersion": 1, "role": "client", "name": "bench"}}  # fmt: skip
_numbers = count()


async def main(channel: Channel, _: Mapping[str, Any]) -> None:
    crowds: dict[str, list[ClientConnection]] = {}
    channel.say({})
    async with AsyncExitStack() as stack:
        async for asked in channel.requests():
            match asked["op"]:
                case "connect":
                    crowds[asked["name"]] = await _connect(stack, asked)
                    channel.say({})
                case "sequential":
                    channel.say(await _sequential(crowds[asked["name"]][0], asked))
                case "many":
                    channel.say(await _many(crowds[asked["name"]], asked))
                case "burst":
                    channel.say(await _burst(crowds[asked["name"]], asked))


async def _connect(stack: AsyncExitStack, asked: Mapping[str, Any]) -> list[ClientConnection]:
    """``token``: for a hub, which also wants to be greeted."""
    return [await _dial(stack, asked["url"], asked.get("token")) for _ in range(asked["links"])]


async def _dial(stack: AsyncExitStack, url: str, token: str | None) -> ClientConnection:
    if token is None:
        return await stack.enter_async_context(connect(url, compression=None, proxy=None))
    websocket = await stack.enter_async_context(
        connect(
            url + RPC_PATH,
            compression=None,
            proxy=None,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            additional_headers={"Authorization": f"Bearer {token}"},
        )
    )
    await websocket.send(json.dumps(HELLO))
    assert "result" in json.loads(await websocket.recv())
    return websocket


def _frame(tail: str) -> str:
    """``tail`` is all of the frame that follows its id."""
    return f'{{"jsonrpc":"2.0","id":"b{next(_numbers)}",{tail}'


async def _sequential(websocket: ClientConnection, asked: Mapping[str, Any]) -> dict[str, Any]:
    tail, took = asked["tail"], []
    until = time.perf_counter() + asked["seconds"]
    while (began := time.perf_counter()) < until or not took:  # one at least, however late
        await websocket.send(_frame(tail))
        answer = await websocket.recv()
        took.append(time.perf_counter() - began)
    assert '"error"' not in str(answer), answer
    return {**summary(took), "bytes": [len(_frame(tail)), len(answer)]}


async def _many(crowd: list[ClientConnection], asked: Mapping[str, Any]) -> dict[str, Any]:
    """``in_flight`` calls on each link, all the time."""
    until = time.perf_counter() + asked["seconds"]

    async def one(websocket: ClientConnection) -> int:
        answered = 0
        for _ in range(asked["in_flight"]):
            await websocket.send(_frame(asked["tail"]))
        while time.perf_counter() < until:
            await websocket.recv()
            answered += 1
            await websocket.send(_frame(asked["tail"]))
        for _ in range(asked["in_flight"]):
            await websocket.recv()
        return answered + asked["in_flight"]

    began = time.perf_counter()
    counts = await asyncio.gather(*(one(websocket) for websocket in crowd))
    return {"calls": sum(counts), "seconds": time.perf_counter() - began}


async def _burst(crowd: list[ClientConnection], asked: Mapping[str, Any]) -> dict[str, Any]:
    """So many frames at once, and the answers to all of them."""
    each = asked["calls"] // len(crowd)

    async def one(websocket: ClientConnection) -> None:
        for _ in range(each):
            await websocket.send(_frame(asked["tail"]))
        for _ in range(each):
            await websocket.recv()

    began = time.perf_counter()
    await asyncio.gather(*(one(websocket) for websocket in crowd))
    return {"took": time.perf_counter() - began}


if __name__ == "__main__":
    run(main)
