"""What a call is compared with: bare `websockets`, `websockets` with pydantic, a bare relay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from protocol.ops.sessions import Status, StatusParams
from tests.benchmarks.bench_ops import view
from tests.benchmarks.channel import Channel, run

Handler = Callable[[ServerConnection], Awaitable[None]]


class _Ask(BaseModel):
    jsonrpc: Literal["2.0"]
    id: str
    method: str
    params: StatusParams


class _Answer(BaseModel):
    jsonrpc: Literal["2.0"] = "2.0"
    id: str
    result: Status


_ASK = TypeAdapter(_Ask)


async def echo(websocket: ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(message)


async def typed(websocket: ServerConnection) -> None:
    async for message in websocket:
        ask = _ASK.validate_json(message)
        answer = _Answer(id=ask.id, result=Status(sessions=[view()]))
        await websocket.send(answer.model_dump_json(by_alias=True))


def relay(to: str) -> Handler:
    async def pass_on(websocket: ServerConnection) -> None:
        async with connect(to, compression=None, proxy=None) as onward:

            async def back() -> None:
                async for message in onward:
                    await websocket.send(message)

            going_back = asyncio.create_task(back())
            try:
                async for message in websocket:
                    await onward.send(message)
            finally:
                going_back.cancel()

    return pass_on


async def main(channel: Channel, given: Mapping[str, Any]) -> None:
    answer = {"echo": echo, "typed": typed, "relay": relay(given.get("to", ""))}[given["kind"]]
    async with serve(answer, "127.0.0.1", 0, compression=None) as server:
        channel.say({"url": f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"})
        async for _ in channel.requests():
            channel.say({})


if __name__ == "__main__":
    run(main)
