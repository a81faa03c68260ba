"""Whom placement wakes for, on a real database: room that is new is seen at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from hub.bells import ROOM, Bells
from hub.desk import Desk
from hub.duties import loops
from hub.outlook import Outlook
from hub.store import Store
from hub.store.rows.exchange import PlacedRow
from tests.support import rows
from tests.support.rows import new_session, record
from tests.support.world import PATIENCE


class _Deliveries:
    def __init__(self) -> None:
        self.some: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def deliver(self, placed: Sequence[PlacedRow], minted: Mapping[str, str]) -> None:
        for row in placed:
            assert row.session_id in minted
            self.some.put_nowait((row.session_id, row.spoke_id))


async def test_who_waits_for_a_full_spoke_is_placed_when_it_has_room(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another spoke has room all the while, and nobody waits for that one."""
    monkeypatch.setattr(loops, "POLL_SECONDS", None)  # only a bell wakes
    full, at = await rows.spoke(store, slots=1)
    await rows.spoke(store, slots=1)
    first = (await rows.spawn(store)).session_id
    attempt = await rows.run(store, full, at.epoch, first)
    second = (await rows.spawn(store, new_session(wanted=full))).session_id
    bells, deliveries = Bells(), _Deliveries()
    desk = cast(
        "Desk", SimpleNamespace(store=store, bells=bells, spokes=deliveries, outlook=Outlook())
    )
    placing = loops.Placement(desk)
    looks = asyncio.create_task(placing.turn())
    try:
        async with asyncio.timeout(PATIENCE):
            while not bells.heard(ROOM):
                await asyncio.sleep(0.01)
            ended = record("exited", outcome="completed", survivors=0)
            await store.exchange.append(full, at.epoch, first, attempt, 3, [ended])
            bells.ring(ROOM)
            assert await deliveries.some.get() == (second, full)
    finally:
        looks.cancel()
        await asyncio.gather(looks, return_exceptions=True)


async def test_the_scene_says_whether_anybody_waits_for_room_to_come(store: Store) -> None:
    spoke, at = await rows.spoke(store, slots=1)
    assert not (await store.outbox.scene(10)).anybody
    await rows.run(store, spoke, at.epoch, (await rows.spawn(store)).session_id)
    assert not (await store.outbox.scene(10)).anybody
    await rows.spawn(store)
    scene = await store.outbox.scene(10)
    assert (scene.waiting, scene.anybody) == ([], True)
