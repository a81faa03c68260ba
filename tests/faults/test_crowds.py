"""Very many spokes: all at once, and all of them idle."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.store import Store, postgres
from spoke.identity import Identity, public_hex
from tests.support.herd import Herd
from tests.support.proxy import proxy_to
from tests.support.town import Town
from tests.support.world import waited

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPOKES = ()
HUB_SETTINGS = {"heartbeat_seconds": 2, "lease_seconds": 60}
MANY = 150
Keys = Mapping[str, Ed25519PrivateKey]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keys(here: Town) -> Keys:
    """Of many spokes that the hub knows."""
    made = {f"sp_crowd{n}": Ed25519PrivateKey.generate() for n in range(MANY)}
    async with postgres.connected(here.dsn) as db:
        for id, key in made.items():
            raw = bytes.fromhex(public_hex(key))
            await Store(db).exchange.enroll(id, id, raw, {}, 8)
    return made


async def _hub_id(here: Town) -> str:
    async with postgres.connected(here.dsn) as db:
        return await Store(db).access.hub_id("another")


async def _arrive(herd: Herd, stack: AsyncExitStack, keys: Keys, hub_id: str, url: str) -> None:
    comers = [herd.arrive(stack, Identity(id, hub_id, id, url), key) for id, key in keys.items()]
    await asyncio.gather(*comers)


async def _epochs(here: Town, who: str = "online") -> dict[str, int]:
    async with here.database() as db:
        rows = await db.fetch(f"SELECT spoke_id, epoch FROM spokes WHERE {who}")
    return {row["spoke_id"]: row["epoch"] for row in rows}


async def test_fault_15_very_many_spokes_come_back_at_once(here: Town, keys: Keys) -> None:
    """All links are cut at one moment, and all dial again at once: everybody is welcomed, nobody
    is called out of reach, and who asks meanwhile is answered."""
    herd, hub_id, answers = Herd(), await _hub_id(here), 0
    async with (
        proxy_to(here.ports[0]) as way,
        here.client() as hub,
        AsyncExitStack() as first,
        AsyncExitStack() as second,
    ):
        url = f"ws://127.0.0.1:{way.port}"
        at_first = await _epochs(here, "true")
        await _arrive(herd, first, keys, hub_id, url)
        before = await _epochs(here)
        assert before.keys() == keys.keys()
        way.cut()
        coming = asyncio.create_task(_arrive(herd, second, keys, hub_id, url))
        while not coming.done():
            assert len(await hub.spokes()) == MANY
            answers += 1
        await coming
        assert answers > 1
        after = await _epochs(here)
        assert after.keys() == before.keys()
        for id, epoch in after.items():
            assert before[id] < epoch <= at_first[id] + herd.hellos[id], "one for each hello"
    assert "out of reach" not in here.hub.said()


async def test_fault_17_very_many_spokes_are_idle(here: Town, keys: Keys) -> None:
    """They are heard all the time, and nothing is written for any of them: not one row changes.
    They beat more often than they must: a machine that stands still makes none of them silent."""
    herd, hub_id = Herd(eager=4), await _hub_id(here)
    async with AsyncExitStack() as stack, here.database() as db:
        await _arrive(herd, stack, keys, hub_id, f"ws://127.0.0.1:{here.ports[0]}")

        async def versions() -> list[tuple[str, str, int]]:
            rows = await db.fetch("SELECT spoke_id, ctid::text, xmin::text, epoch FROM spokes")
            return sorted(tuple(row) for row in rows)

        async def hub_beat() -> object:
            return await db.fetchval("SELECT max(seen_at) FROM hubs")

        before, beats = await versions(), herd.beats
        for _ in range(3):  # of the hub, each with a look at what was heard since
            last = await hub_beat()
            async with waited("the hub beats"):
                while await hub_beat() == last:
                    await asyncio.sleep(0.05)
        assert herd.beats - beats > MANY
        assert await versions() == before
        assert set(await _epochs(here)) == set(keys)
