"""A receipt says of who has not ended yet what its end waits for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

import coord
from hub.app import RunningHub, serve
from hub.settings import HubSettings
from spoke.settings import SpokeSettings
from tests.support.hand import Hand
from tests.support.hubs import admin_of
from tests.support.world import waited

SILENT = r"; not heard since \d\d:\d\d:\d\d UTC"
MAYBE = f"({SILENT})?"  # a hand has no heart


@pytest.fixture
async def hub(hub_database: str, tmp_path: Path) -> AsyncGenerator[RunningHub]:
    settings = HubSettings(
        database_url=hub_database, port=0, http_port=0, state=tmp_path, heartbeat_seconds=2
    )
    async with serve(settings) as hub:
        yield hub


@pytest.fixture
async def hand(hub: RunningHub, tmp_path: Path) -> AsyncGenerator[Hand]:
    """A spoke that takes what it is told, and ends nothing."""
    one = Hand(SpokeSettings(state=tmp_path / "spoke"), answers=True)
    await one.join(hub)
    async with one.connected():
        yield one


async def test_it_is_said_whether_the_spoke_has_taken_the_order(
    hub: RunningHub, hand: Hand
) -> None:
    ends, waits = "hand is ending its processes", "the order waits for hand to take it"
    async with admin_of(hub) as client:
        taken = await _begun(client, hand)
        waiting = await _begun(client, hand)
        assert not (await client.abort(taken, wait=False)).complete
        assert (await hand.next())["kind"] == "stop"
        await _says(client, taken, ends + MAYBE)
        hand.answers = False
        assert not (await client.abort(waiting, wait=False)).complete
        assert (await hand.next())["kind"] == "stop"
        assert re.fullmatch(waits + MAYBE, await _pending(client, waiting))
        hand.cut()
        await _says(client, waiting, waits + SILENT)
        await _says(client, taken, ends + SILENT)


async def _says(client: coord.Hub, id: str, pending: str) -> None:
    async with waited(f"{id} says {pending}"):
        while not re.fullmatch(pending, await _pending(client, id)):
            await asyncio.sleep(0.05)


async def _pending(client: coord.Hub, id: str) -> str:
    """Asked again, an abort changes nothing."""
    [one] = (await client.abort(id, wait=False)).sessions
    return one.pending or ""


async def _begun(client: coord.Hub, hand: Hand) -> str:
    made = await client.spawn("a", repo="/r", spoke="hand", command="true", until="assigned")
    assert (await hand.next())["kind"] == "start"
    return made.session_id
