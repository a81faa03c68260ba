"""gRPC for a cascade of cancellations, none confirmed: callee, hub between, or caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import grpc
from grpc import aio

from tests.benchmarks.channel import Channel, run

SERVICE, METHOD = "bench", "Hold"
ALL_GONE_LOOK_S = 0.001

_Context = aio.ServicerContext[bytes, bytes]


class Callee:
    def __init__(self) -> None:
        self.live = 0

    async def hold(self, request: bytes, context: _Context) -> bytes:
        self.live += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.live -= 1
        return request


class Between:
    """Calls on, for whoever called; a cancelled handler cancels the call that it waits for."""

    def __init__(self, to: str) -> None:
        self._onward = aio.insecure_channel(to).unary_unary(f"/{SERVICE}/{METHOD}")

    async def hold(self, request: bytes, context: _Context) -> bytes:
        return bytes(await self._onward(request))


async def _serve(channel: Channel, on: Callee | Between) -> None:
    server = aio.server()
    handlers = {METHOD: grpc.unary_unary_rpc_method_handler(on.hold)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel.say({"at": f"127.0.0.1:{port}"})
    async for asked in channel.requests():
        if isinstance(on, Callee):
            while on.live != asked["calls"]:
                await asyncio.sleep(ALL_GONE_LOOK_S)
        channel.say({"now": time.monotonic()})
    await server.stop(0)


async def _call(channel: Channel, to: str, links: int) -> None:
    lines = [aio.insecure_channel(to).unary_unary(f"/{SERVICE}/{METHOD}") for _ in range(links)]
    held: list[asyncio.Task[bytes]] = []

    async def hold(n: int) -> bytes:
        return bytes(await lines[n % links](b"{}"))

    channel.say({})
    async for asked in channel.requests():
        began = time.monotonic()
        if asked["op"] == "hold":
            held = [asyncio.create_task(hold(n)) for n in range(asked["calls"])]
        else:
            for one in held:
                one.cancel()
            await asyncio.gather(*held, return_exceptions=True)
        channel.say({"began": began})


async def main(channel: Channel, given: Mapping[str, Any]) -> None:
    match given["kind"]:
        case "callee":
            await _serve(channel, Callee())
        case "between":
            await _serve(channel, Between(given["to"]))
        case _:
            await _call(channel, given["to"], given["links"])


if __name__ == "__main__":
    run(main, fast_loop=False)
