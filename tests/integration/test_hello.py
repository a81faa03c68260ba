"""A spoke comes back to a hub that is not the one it left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import coord
from hub.app import RunningHub, serve
from hub.settings import HubSettings
from hub.store import Postgres, Store
from protocol.ops.wire import InventoryItem
from spoke import identity
from spoke.settings import SpokeSettings
from tests.security import people
from tests.support.hand import Hand
from tests.support.ports import free_port
from tests.support.world import PATIENCE


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


async def test_a_start_that_never_reached_a_disk_is_told_again(
    hub_database: str, tmp_path: Path, hand: Hand
) -> None:
    """An order is acknowledged when the spoke has it, not when it was sent."""
    settings = HubSettings.model_validate(
        {"database_url": hub_database, "port": free_port(), "http_port": 0, "state": tmp_path}
    )
    async with serve(settings) as hub:
        await hand.join(hub)
        admin = await hub.admin_token("test")
        async with coord.connect(hub.url, admin) as client:
            async with hand.connected():
                await client.spawn("t", repo="/r", command="true", until="queued")
                first = await hand.next()
                spoke = identity.load(hand.settings.places).spoke_id
                told = await people.store_of(hub).outbox.pending(spoke, 0, 9)
                assert [order.seq for order in told] == [first["seq"]], "told, and not taken"
            async with hand.connected():
                again = await hand.next()
            assert (again["seq"], again["kind"]) == (first["seq"], "start")


async def test_the_lease_runs_of_a_link_that_is_lost_while_it_is_greeted(
    running_hub: RunningHub, hand: Hand, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database has it as held by this hub, which would have kept it for ever."""
    greeted = asyncio.Event()

    async def hang(*_: object) -> None:
        greeted.set()
        await asyncio.Event().wait()

    await hand.join(running_hub)
    monkeypatch.setattr(people.desk_of(running_hub).store.outbox, "acked", hang)
    coming = asyncio.create_task(_come(hand))
    async with asyncio.timeout(PATIENCE):
        await greeted.wait()
    [spoke] = await store.exchange.spokes()
    link = (spoke.spoke_id, 1)
    assert await store.fleet.held([link]) == {spoke.spoke_id: False}, "it is held, its time stands"
    coming.cancel()
    async with asyncio.timeout(PATIENCE):
        while await store.fleet.held([link]) != {spoke.spoke_id: True}:
            await asyncio.sleep(0.05)


async def test_a_spoke_with_orders_that_the_database_lost_comes_again(
    running_hub: RunningHub, hand: Hand, store: Store, connections: Postgres
) -> None:
    """A standby took over without the last commits. It would give the same numbers once more, and
    the spoke take what it is told under them for what it has seen."""
    hand.answers = True
    spokes = people.desk_of(running_hub).spokes
    await hand.join(running_hub)
    admin = await running_hub.admin_token("test")
    async with hand.connected(), coord.connect(running_hub.url, admin) as client:
        await client.spawn("t", repo="/r", command="true", until="queued")
        start = await hand.next()
        [spoke] = await store.exchange.spokes()
        link = (spoke.spoke_id, spoke.epoch)
        assert await store.fleet.held([link], [start["seq"]]) == {spoke.spoke_id: False}
        await connections.pool.execute("UPDATE spokes SET cmd_seq = cmd_seq - 1")
        assert await store.fleet.held([link], [start["seq"]]) == {}
        async with asyncio.timeout(PATIENCE):
            while spokes.find(spoke.spoke_id) is not None:
                await asyncio.sleep(0.05)


async def test_an_order_with_a_number_that_was_told_before_is_told(
    running_hub: RunningHub, hand: Hand, store: Store, connections: Postgres
) -> None:
    """As above; but before anybody looked, the number was given once more."""
    hand.answers = True
    spokes = people.desk_of(running_hub).spokes
    await hand.join(running_hub)
    admin = await running_hub.admin_token("test")
    async with hand.connected(), coord.connect(running_hub.url, admin) as client:
        await client.spawn("t", repo="/r", command="true", until="queued")
        start = await hand.next()
        [spoke] = await store.exchange.spokes()
        await connections.pool.execute("UPDATE commands SET acked_at = NULL, kind = 'stop'")
        link = (spoke.spoke_id, spoke.epoch)
        assert await store.fleet.held([link], [start["seq"]]) == {}
        async with asyncio.timeout(PATIENCE):
            while spokes.find(spoke.spoke_id) is not None:
                await asyncio.sleep(0.05)


async def _come(hand: Hand) -> None:
    async with hand.connected():
        raise AssertionError("it was welcome")
