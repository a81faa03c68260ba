"""Spokes in one process that greet, beat, and take every order; no agent is ever started."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection

from protocol.aio.dial import dial
from protocol.aio.node import Context, Node
from protocol.aio.wire import WebsocketWire
from protocol.errors import LinkLost, Unavailable
from protocol.frames import Notice
from protocol.handshake import INITIALIZE
from protocol.ops.catalogue import HEARTBEAT, SPOKE_ORDERS
from protocol.switchboard import LinkId
from spoke.identity import Identity, authorization

_HUB = LinkId("hub")


@dataclass(slots=True)
class Herd:
    orders: Counter[str] = field(default_factory=Counter[str])
    links: list[ClientConnection] = field(default_factory=list[ClientConnection])
    news: asyncio.Event = field(default_factory=asyncio.Event)
    beats: int = 0  #: that were said
    hellos: Counter[str] = field(default_factory=Counter[str])  #: of each spoke
    eager: int = 1  #: so many beats where the hub wants one

    async def take(self, context: Context) -> object:
        orders: Any = context.call.params["orders"]
        for order in orders:
            self.orders[order["kind"]] += 1
        self.news.set()
        return {"accepted": orders[-1]["seq"], "refused": []}

    async def arrive(self, stack: AsyncExitStack, mine: Identity, key: Ed25519PrivateKey) -> None:
        """As often as it takes: a hub at which very many knock lets some of them wait too long."""
        while True:
            try:
                return await self._arrive(stack, mine, key)
            except (Unavailable, LinkLost):
                await asyncio.sleep(random.random())

    async def _arrive(self, stack: AsyncExitStack, mine: Identity, key: Ed25519PrivateKey) -> None:
        websocket = await stack.enter_async_context(
            dial(mine.address, await authorization(mine, key))
        )
        node = Node({SPOKE_ORDERS.name: self.take})
        serving = asyncio.create_task(node.attach(_HUB, WebsocketWire(websocket)))
        await asyncio.sleep(0)
        self.hellos[mine.spoke_id] += 1
        said: Any = await node.ask(_HUB, INITIALIZE, _hello(mine.spoke_id))
        every = said["heartbeatMs"] / 1_000 / self.eager
        beating = asyncio.create_task(self._beat(node, said["epoch"], every))
        stack.push_async_callback(asyncio.wait, [serving])
        stack.callback(beating.cancel)
        stack.push_async_callback(websocket.close)
        self.links.append(websocket)

    async def _beat(self, node: Node, epoch: int, every: float) -> None:
        while True:
            node.say(_HUB, Notice(HEARTBEAT, {"epoch": epoch, "live": 0}))
            self.beats += 1
            await asyncio.sleep(every)

    async def wait(self, kind: str, count: int) -> None:
        while self.orders[kind] < count:
            self.news.clear()
            await self.news.wait()


def _hello(id: str) -> dict[str, Any]:
    spoke = {"spokeId": id, "incarnation": "b", "bootId": "b", "slots": 5_000, "lastSeq": 0}
    return {"protocolVersion": 1, "role": "spoke", "name": id, "version": "0", "spoke": spoke}
