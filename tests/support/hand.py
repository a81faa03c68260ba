"""A spoke in the hands of a test: it hears its orders, and answers what the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

from hub.app import RunningHub
from protocol import tokens
from protocol.aio.dial import address, dial
from protocol.aio.node import Context, Handler, Node
from protocol.aio.wire import WebsocketWire
from protocol.codec import Object
from protocol.frames import Goaway, Notice
from protocol.handshake import INITIALIZE, Hello, Welcome
from protocol.limits import PROTOCOL_VERSION
from protocol.ops.catalogue import HEARTBEAT, SPOKE_ORDERS
from protocol.ops.wire import InventoryItem
from protocol.switchboard import LinkId
from spoke import enrollment, identity
from spoke.settings import SpokeSettings
from tests.support import rows

HUB = LinkId("hub")
PATIENCE = 20.0


@dataclass
class Hand:
    """A spoke that hears its orders and, while ``answers`` is not set, says nothing to them."""

    settings: SpokeSettings
    heard: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue[dict[str, Any]])
    answers: bool = False
    handlers: dict[str, Handler] = field(default_factory=dict[str, Handler])
    incarnation: str | None = None
    told: asyncio.Queue[Object] = field(default_factory=asyncio.Queue[Object])
    parted: asyncio.Queue[int] = field(default_factory=asyncio.Queue[int])
    _node: Node | None = None
    _cut: Callable[[], None] | None = None

    async def join(self, hub: RunningHub) -> None:
        self.settings.places.make()
        ticket = tokens.read_join(await hub.join_string("hand"))
        await enrollment.enroll(self.settings, ticket, None)

    @asynccontextmanager
    async def connected(
        self,
        last_seq: int = 0,
        held: list[InventoryItem] | None = None,
        to: RunningHub | None = None,
    ) -> AsyncGenerator[Welcome]:
        """``to``: else the hub that it joined."""
        mine = identity.load(self.settings.places)
        where = mine.address if to is None else address(to.url)
        proof = await identity.authorization(
            replace(mine, url=where.url), identity.own_key(self.settings.places)
        )
        async with dial(where, proof) as websocket:
            node = Node({SPOKE_ORDERS.name: self._take, **self.handlers}, listener=self._hear)
            self._node = node
            self._cut = websocket.transport.abort
            serving = asyncio.create_task(node.attach(HUB, WebsocketWire(websocket)))
            try:
                await asyncio.sleep(0)
                me = rows.hello(mine.spoke_id, held=held).model_copy(
                    update={"last_seq": last_seq, **self._self()}
                )
                hello = Hello(protocol_version=PROTOCOL_VERSION, role="spoke", spoke=me)
                said = hello.model_dump(mode="json", by_alias=True, exclude_none=True)
                answer = await node.ask(HUB, INITIALIZE, cast("Object", said), within=PATIENCE)
                yield Welcome.model_validate(answer)
            finally:
                await websocket.close()
                await serving

    def _self(self) -> dict[str, str]:
        return {} if self.incarnation is None else {"incarnation": self.incarnation}

    async def beat(self, welcome: Welcome, n: int | None = None, epoch: int | None = None) -> None:
        """Say that we live."""
        assert self._node is not None
        said: Object = {"epoch": welcome.epoch if epoch is None else epoch, "live": 0, "n": n}
        self._node.say(HUB, Notice(HEARTBEAT, said))

    def _hear(self, _: LinkId, frame: Notice | Goaway) -> None:
        if isinstance(frame, Notice):
            self.told.put_nowait(frame.params)
        else:
            self.parted.put_nowait(frame.reconnect_after_ms)

    async def ask(self, op: str, params: Object) -> Object:
        assert self._node is not None
        return cast("Object", await self._node.ask(HUB, op, params, within=PATIENCE))

    def cut(self) -> None:
        """The link is lost."""
        assert self._cut is not None
        self._cut()

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            return await self.heard.get()

    async def _take(self, context: Context) -> object:
        orders = cast("list[dict[str, Any]]", context.call.params["orders"])
        for order in orders:
            self.heard.put_nowait(order)
        if not self.answers:
            await asyncio.Event().wait()
        return {"accepted": orders[-1]["seq"], "refused": []}
