"""A spoke whose event loop is stuck says beside its link that it lives."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

import spoke.pulse
from hub.app import serve
from hub.settings import HubSettings
from hub.store import Postgres
from protocol.aio.dial import address
from spoke import identity
from spoke.contact import Contact
from spoke.pulse import Pulse, Spoken
from spoke.settings import SpokeSettings
from tests.security.people import desk_of
from tests.support.hand import PATIENCE, Hand

EVERY = 0.2


def _pulse(hand: Hand, folder: Path) -> tuple[Pulse, Path]:
    places = hand.settings.places
    mine, key = identity.load(places), identity.own_key(places)
    return Pulse(mine, key, Contact(folder / "contact")), folder / "contact"


@pytest.fixture
def settings(hub_database: str, tmp_path: Path) -> HubSettings:
    return HubSettings(
        database_url=hub_database, port=0, http_port=0, state=tmp_path, grace_seconds=0,
        heartbeat_seconds=EVERY, lease_seconds=60,
    )  # fmt: skip


async def test_a_loop_that_is_stuck_keeps_its_lease_and_its_fence(
    settings: HubSettings, tmp_path: Path, connections: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spoke.pulse, "LOOK_S", EVERY)
    hand = Hand(SpokeSettings(state=tmp_path / "spoke"))
    async with serve(settings) as hub:
        await hand.join(hub)
        pulse, contact = _pulse(hand, tmp_path)
        id = identity.load(hand.settings.places).spoke_id
        store = desk_of(hub).store
        async with hand.connected() as welcome, asyncio.timeout(PATIENCE):
            while (ends := await _lease_ends(connections)) is None:  # its link is silent
                await asyncio.sleep(0.02)
            pulse.speak_for(Spoken(address(hub.url), welcome.epoch or 0, EVERY))
            with pulse:
                said: set[str] = set()
                while len(said) < 3:
                    said |= {contact.read_text()} if contact.exists() else set()
                    await asyncio.sleep(0.02)
            await asyncio.to_thread(pulse._thread.join)  # it may be about to say it once more
            later = await _lease_ends(connections)
            assert later is not None
            assert later > ends
            assert (await store.exchange.spoke(id)).online
            await connections.pool.execute("UPDATE spokes SET lease_expires_at = now()")
            while (await store.exchange.spoke(id)).online:  # now nothing prolongs it
                await asyncio.sleep(0.02)


async def _lease_ends(db: Postgres) -> datetime | None:
    """When the time of the spoke is over; None: it does not run."""
    ends: datetime | None = await db.pool.fetchval("SELECT lease_expires_at FROM spokes")
    return ends


class _Clock:
    """Goes on when it is told to; counts how often the thread of the pulse looks at it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0

    def monotonic(self) -> float:
        self.looks += threading.current_thread().name == "pulse"
        return self.now


async def test_a_loop_that_lives_needs_no_pulse(
    settings: HubSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = _Clock()
    monkeypatch.setattr(spoke.pulse, "time", clock)
    monkeypatch.setattr(spoke.pulse, "LOOK_S", 0.05)
    hand = Hand(SpokeSettings(state=tmp_path / "spoke"))
    async with serve(settings) as hub:
        await hand.join(hub)
        pulse, contact = _pulse(hand, tmp_path)
        async with hand.connected() as welcome, asyncio.timeout(PATIENCE):
            pulse.speak_for(Spoken(address(hub.url), welcome.epoch or 0, 2.0))
            with pulse:
                while clock.looks < 5:
                    clock.now += 2.9  # three seconds are a beat and a half
                    pulse.tick()
                    await asyncio.sleep(0.02)
                assert not contact.exists()
                clock.now += 3.1
                while not contact.exists():  # now it is stuck
                    await asyncio.sleep(0.02)


async def test_an_old_link_has_no_pulse(settings: HubSettings, tmp_path: Path) -> None:
    hand = Hand(SpokeSettings(state=tmp_path / "spoke"))
    async with serve(settings) as hub:
        await hand.join(hub)
        pulse, contact = _pulse(hand, tmp_path)
        to = address(hub.url)
        async with hand.connected() as welcome:
            link = Spoken(to, welcome.epoch or 0, EVERY)
            await asyncio.to_thread(pulse._beat, replace(link, epoch=link.epoch - 1))
            assert not contact.exists()
            await asyncio.to_thread(pulse._beat, link)
            assert contact.exists()


async def test_a_beat_is_confirmed_after_it_was_written_down(
    settings: HubSettings, tmp_path: Path
) -> None:
    hand = Hand(SpokeSettings(state=tmp_path / "spoke"))
    async with serve(settings) as hub:
        await hand.join(hub)
        async with hand.connected() as welcome:
            await hand.beat(welcome, n=7)
            async with asyncio.timeout(PATIENCE):
                said = await hand.told.get()
            assert said == {"epoch": welcome.epoch, "n": 7}
            await hand.beat(welcome, n=8, epoch=0)
            await hand.beat(welcome, n=9)
            async with asyncio.timeout(PATIENCE):
                assert (await hand.told.get())["n"] == 9
