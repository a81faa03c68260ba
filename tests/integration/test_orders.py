"""What was just committed is told at once, and never out of order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest
from pydantic import JsonValue

from hub.bells import Bells
from hub.fleet.connected import Connected
from hub.fleet.spokes import Spokes
from hub.ops.aborting import orders_of
from hub.store import Postgres, Store
from hub.store.rows.exchange import OrderRow, PlacedRow
from protocol import tokens
from protocol.aio.node import Context, Node
from protocol.codec import Object
from protocol.ops.catalogue import SPOKE_ORDERS
from protocol.switchboard import LinkId
from tests.support import rows
from tests.support.pipe import pipe
from tests.support.rows import new_session

HUB, SPOKE = LinkId("hub"), LinkId("spoke")


class FarSide:
    """A spoke that takes all orders, in the frames as they came."""

    def __init__(self) -> None:
        self.frames: list[list[Object]] = []
        self.news = asyncio.Event()

    async def take(self, context: Context) -> Object:
        orders = context.call.params["orders"]
        assert isinstance(orders, list)
        self.frames.append([order for order in orders if isinstance(order, dict)])
        self.news.set()
        return {"accepted": self.frames[-1][-1]["seq"], "refused": []}

    async def told(self, orders: int) -> list[tuple[object, object]]:
        """The numbers and kinds of the orders, once there are so many."""
        async with asyncio.timeout(20):
            while len(self.orders()) < orders:
                self.news.clear()
                await self.news.wait()
        return [(order["seq"], order["kind"]) for order in self.orders()]

    def orders(self) -> list[Object]:
        return [order for frame in self.frames for order in frame]


@dataclass(frozen=True, slots=True)
class House:
    store: Store
    spokes: Spokes
    spoke_id: str
    far: FarSide

    async def place(self) -> list[PlacedRow]:
        """One more session for the spoke; its order, which is not told yet."""
        id = (await rows.spawn(self.store)).session_id
        return await self.store.outbox.assign([(id, self.spoke_id, id.encode())])


@pytest.fixture
async def house(store: Store) -> AsyncGenerator[House]:
    spoke_id, at = await rows.spoke(store)
    far, here = FarSide(), Node()
    there = Node({SPOKE_ORDERS.name: far.take})
    one, other = pipe()
    serving = [
        asyncio.create_task(here.attach(SPOKE, one)),
        asyncio.create_task(there.attach(HUB, other)),
    ]
    await asyncio.sleep(0)  # the links exist once their tasks have taken their first step
    spokes = Spokes(store, Bells())
    connected = Connected(spoke_id, SPOKE, at.epoch)
    spokes.connect(here, connected)
    yield House(store, spokes, spoke_id, far)
    spokes.disconnect(connected)
    one.cut()
    await asyncio.wait(serving)


async def test_orders_are_told_as_they_are_committed(house: House) -> None:
    for n in range(1, 4):
        house.spokes.deliver(await house.place(), {})
        assert await house.far.told(n) == [(seq, "start") for seq in range(1, n + 1)]


async def _nothing(*_: object) -> list[OrderRow]:
    """What a look finds: one that began with the starts may still be to come."""
    return []


async def test_an_abort_is_told_without_a_look_at_the_outbox(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = (await rows.spawn(house.store)).session_id
    ids = [top, *[(await rows.spawn(house.store, new_session(parent=top))).session_id
                  for _ in range(3)]]  # fmt: skip
    house.spokes.deliver(
        await house.store.outbox.assign([(id, house.spoke_id, id.encode()) for id in ids]), {}
    )
    await house.far.told(4)
    monkeypatch.setattr(house.store.outbox, "pending", _nothing)
    why: dict[str, JsonValue] = {"reason": "enough", "graceMs": None, "now": False}
    marked = await house.store.sessions.abort(top, "ab_1", "test", why, upgrade=False)
    house.spokes.deliver(orders_of(marked), {})
    said = await house.far.told(8)
    assert said[4:] == [(seq, "stop") for seq in range(5, 9)]
    stops = house.far.orders()[4:]
    assert {stop["sessionId"] for stop in stops} == {*ids}
    assert {stop["body"]["abortId"] for stop in stops} == {"ab_1"}


async def test_what_another_hub_ordered_before_is_told_before(house: House) -> None:
    await house.place()
    house.spokes.deliver(await house.place(), {})
    assert await house.far.told(2) == [(1, "start"), (2, "start")]


async def test_what_was_said_meanwhile_comes_with_its_start(house: House) -> None:
    id = (await rows.spawn(house.store)).session_id
    await house.store.sessions.say(id, "msg_1", "before it was placed", "queue", None)
    placed = await house.store.outbox.assign([(id, house.spoke_id, id.encode())])
    house.spokes.deliver(placed, {})
    assert await house.far.told(2) == [(1, "start"), (2, "message")]
    assert len(house.far.frames) == 1


async def test_a_look_finds_what_nobody_rang_for(house: House) -> None:
    await house.place()
    await house.spokes.look()
    assert await house.far.told(1) == [(1, "start")]


async def test_an_order_carries_the_token_that_the_database_knows(house: House) -> None:
    """Whichever hub placed it, and whatever another one made for it in vain."""
    placed = await house.place()
    minted = tokens.new(tokens.Kind.SESSION)
    house.spokes.deliver(placed, {placed[0].session_id: minted})
    await house.place()  # by another hub: its token is in that hub's memory
    house.spokes.deliver([], {})
    await house.spokes.look()
    await house.far.told(2)
    first, second = (order["body"]["credential"] for order in house.far.orders())
    assert first == minted
    found = await house.store.access.session_of(second)
    assert found is not None


async def test_an_old_link_makes_no_token(house: House, store: Store) -> None:
    [placed] = await house.place()
    new = await store.exchange.greet(rows.hello(house.spoke_id), "1", 45)
    assert new is not None
    token = tokens.new(tokens.Kind.SESSION)
    digest = tokens.digest(token)
    given = (placed.session_id, placed.attempt, digest)
    assert not await store.outbox.set_credential(*given, new.epoch - 1)
    assert await store.access.session_of(token) is None
    assert await store.outbox.set_credential(*given, new.epoch)
    assert await store.access.session_of(token) is not None


async def test_two_hubs_fill_no_spoke_beyond_its_slots(store: Store, connections: Postgres) -> None:
    spoke_id, _ = await rows.spoke(store)
    await connections.pool.execute("UPDATE spokes SET slots = 3 WHERE spoke_id = $1", spoke_id)
    ids = [(await rows.spawn(store)).session_id for _ in range(12)]

    async def place(id: str) -> int:
        return len(await store.outbox.assign([(id, spoke_id, id.encode())]))

    assert sum(await asyncio.gather(*(place(id) for id in ids))) == 3
    assert [row.seq for row in await store.outbox.pending(spoke_id, 0, 99)] == [1, 2, 3]
