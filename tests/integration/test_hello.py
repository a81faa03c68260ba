"""A spoke comes back to a hub that is not the one it left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

import coord
from hub.app import RunningHub, serve
from hub.settings import HubSettings
from protocol import tokens
from protocol.aio.dial import dial
from protocol.aio.node import Context, Node
from protocol.aio.wire import WebsocketWire
from protocol.codec import Object
from protocol.handshake import INITIALIZE, Hello, Welcome
from protocol.limits import PROTOCOL_VERSION
from protocol.ops.catalogue import SPOKE_ORDERS
from protocol.ops.wire import InventoryItem
from protocol.switchboard import LinkId
from spoke import enrollment, identity
from spoke.settings import SpokeSettings
from tests.support import rows
from tests.support.world import free_port

HUB = LinkId("hub")
PATIENCE = 20.0


@dataclass
class Hand:
    """A spoke that hears its orders and, while ``answers`` is not set, says nothing to them."""

    settings: SpokeSettings
    heard: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue[dict[str, Any]])
    answers: bool = False

    async def join(self, hub: RunningHub) -> None:
        self.settings.places.make()
        ticket = tokens.read_join(await hub.join_string("hand"))
        await enrollment.enroll(self.settings, ticket, None)

    @asynccontextmanager
    async def connected(
        self, last_seq: int = 0, held: list[InventoryItem] | None = None
    ) -> AsyncGenerator[Welcome]:
        mine = identity.load(self.settings.places)
        proof = await identity.authorization(mine, identity.own_key(self.settings.places))
        async with dial(mine.address, proof) as websocket:
            node = Node({SPOKE_ORDERS.name: self._take})
            serving = asyncio.create_task(node.attach(HUB, WebsocketWire(websocket)))
            try:
                await asyncio.sleep(0)
                me = rows.hello(mine.spoke_id, held=held).model_copy(update={"last_seq": last_seq})
                hello = Hello(protocol_version=PROTOCOL_VERSION, role="spoke", spoke=me)
                said = hello.model_dump(mode="json", by_alias=True, exclude_none=True)
                answer = await node.ask(HUB, INITIALIZE, cast("Object", said), within=PATIENCE)
                yield Welcome.model_validate(answer)
            finally:
                await websocket.close()
                await serving

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


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return Hand(SpokeSettings(state=tmp_path / "spoke"))


async def test_a_start_whose_answer_was_lost_with_the_hub_is_not_told_again(
    hub_database: str, tmp_path: Path, hand: Hand
) -> None:
    """Told again it would carry a fresh credential, and the agent at work has the first one."""
    settings = HubSettings.model_validate(
        {"database_url": hub_database, "port": free_port(), "http_port": 0, "state": tmp_path}
    )
    async with serve(settings) as hub:
        await hand.join(hub)
        admin = await hub.admin_token("test")
        async with hand.connected(), coord.connect(hub.url, admin) as client:
            made = await client.spawn("t", repo="/r", command="true", until="queued")
            start = await hand.next()
    hand.answers = True
    held = InventoryItem(session_id=made.session_id, attempt=1, state="running", last_record=0)
    async with (
        serve(settings) as hub,
        coord.connect(hub.url, admin) as client,
        hand.connected(start["seq"], [held]) as welcome,
    ):
        assert [one.verdict for one in welcome.verdicts] == ["continue"]
        await client.message(made.session_id, "hello", wait_ms=0)
        assert (await hand.next())["kind"] == "message"
        async with coord.connect(hub.url, start["body"]["credential"]) as agent:
            assert (await agent.status(made.session_id)).sessions
