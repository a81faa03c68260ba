"""Many spoke connections in one process: each knocks, signs and greets as a spoke does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import connect

from coord.cli.daemon import stay
from protocol.aio.dial import dial
from protocol.aio.node import Context, Node
from protocol.aio.wire import WebsocketWire
from protocol.handshake import INITIALIZE
from protocol.switchboard import LinkId
from spoke.identity import Identity, authorization, public_hex
from tests.benchmarks.bench_ops import HOLD, QUICK
from tests.benchmarks.channel import Channel, run

_HUB = LinkId("hub")


@dataclass(slots=True)
class Held:
    """Calls that wait here."""

    now: int = 0

    async def hold(self, _: Context) -> None:
        self.now += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.now -= 1


async def main(channel: Channel, given: Mapping[str, Any]) -> None:
    keys = {f"sp_bench{n}": Ed25519PrivateKey.generate() for n in range(given["spokes"])}
    channel.say({"spokes": [{"id": id, "key": public_hex(key)} for id, key in keys.items()]})
    held = Held()
    stay()
    async with AsyncExitStack() as stack:
        async for asked in channel.requests():
            match asked["op"]:
                case "arrive":
                    for id in list(keys)[asked["first"] : asked["last"]]:
                        mine = Identity(id, asked["hubId"], id, asked["url"])
                        await stack.enter_async_context(_spoke(mine, keys[id], held))
                case "bare":
                    for _ in range(asked["first"], asked["last"]):
                        await stack.enter_async_context(
                            connect(asked["url"], compression=None, proxy=None)
                        )
                case "held":
                    while held.now != asked["calls"]:
                        await asyncio.sleep(0.01)
            channel.say({"held": held.now})


@asynccontextmanager
async def _spoke(mine: Identity, key: Ed25519PrivateKey, held: Held) -> AsyncGenerator[None]:
    async with dial(mine.address, await authorization(mine, key)) as websocket:
        node = Node({HOLD: held.hold, QUICK: _quick})
        serving = asyncio.create_task(node.attach(_HUB, WebsocketWire(websocket)))
        await asyncio.sleep(0)
        await node.ask(_HUB, INITIALIZE, _hello(mine.spoke_id))
        yield
        await websocket.close()
        await serving


async def _quick(_: Context) -> object:
    return {}


def _hello(id: str) -> dict[str, Any]:
    spoke = {"spokeId": id, "incarnation": "bench", "bootId": "bench", "slots": 8, "lastSeq": 0}
    return {"protocolVersion": 1, "role": "spoke", "name": id, "version": "0", "spoke": spoke}


if __name__ == "__main__":
    run(main)
