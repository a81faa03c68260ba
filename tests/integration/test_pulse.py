"""A spoke whose event loop is stuck says beside its link that it lives."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from hub.app import serve
from hub.settings import HubSettings
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
        heartbeat_seconds=EVERY, lease_seconds=3,
    )  # fmt: skip


async def test_a_loop_that_is_stuck_keeps_its_lease_and_its_fence(
    settings: HubSettings, tmp_path: Path
) -> None:
    hand = Hand(SpokeSettings(state=tmp_path / "spoke"))
    async with serve(settings) as hub:
        await hand.join(hub)
        pulse, contact = _pulse(hand, tmp_path)
        spoke = identity.load(hand.settings.places).spoke_id
        store = desk_of(hub).store
        async with hand.connected() as welcome, asyncio.timeout(PATIENCE):
            pulse.speak_for(Spoken(address(hub.url), welcome.epoch or 0, EVERY))
            with pulse:
                said: set[str] = set()
                while len(said) < 5:  # longer than a lease lasts
                    said |= {contact.read_text()} if contact.exists() else set()
                    assert (await store.exchange.spoke(spoke)).online
                    await asyncio.sleep(0.02)
            while (await store.exchange.spoke(spoke)).online:
                await asyncio.sleep(0.02)


async def test_a_loop_that_lives_needs_no_pulse(settings: HubSettings, tmp_path: Path) -> None:
    hand = Hand(SpokeSettings(state=tmp_path / "spoke"))
    async with serve(settings.model_copy(update={"lease_seconds": 60})) as hub:
        await hand.join(hub)
        pulse, contact = _pulse(hand, tmp_path)
        async with hand.connected() as welcome, asyncio.timeout(PATIENCE):
            pulse.speak_for(Spoken(address(hub.url), welcome.epoch or 0, 2.0))
            with pulse:
                for _ in range(30):
                    pulse.tick()
                    await asyncio.sleep(0.1)
                assert not contact.exists()
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
