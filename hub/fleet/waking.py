"""Word to and from the other hubs: what rang here rings there, a few milliseconds later.

One notifier per hub, outside of every transaction that writes; what rang within one pause goes
out together. A hub that hears nothing of its own word knows that its LISTEN is dead (a pooler, a
failover that closed nothing) and begins anew; the poll behind every bell goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from hub.bells import HUBS, Bells
from hub.health import Health
from hub.store import wire
from protocol.errors import CallError

logger = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 0.01
TEST_SECONDS: Final = 5.0  #: between two tests of our own ears,
DEAF_SECONDS: Final = 2.0  #: and how long the word may take
AGAIN_SECONDS: Final = 1.0
_TEST: Final = "test"


class Waker:
    def __init__(self, dsn: str, instance: str, bells: Bells, health: Health) -> None:
        self._dsn = dsn
        self._instance = instance
        self._bells = bells
        self._health = health
        self._pending: set[str] = set()
        self._something = asyncio.Event()
        self._own_word = asyncio.Event()

    def tell(self, topics: Iterable[str]) -> None:
        """Carry these to the other hubs, soon."""
        self._pending.update(topics)
        self._something.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with wire.listening(self._dsn, self._hear) as ear:
                    self.tell([HUBS])
                    self._bells.ring_all_here()  # what was said while we were deaf
                    await self._serve(ear)
            except CallError as error:
                logger.warning("no word from other hubs, polling instead: %s", error)
            self._health.listening = False
            await asyncio.sleep(AGAIN_SECONDS)

    async def _serve(self, ear: wire.Ear) -> None:
        """Until the connection is lost, or found to be deaf."""
        parts = [
            asyncio.create_task(self._carry(ear), name="notifier"),
            asyncio.create_task(self._test(ear), name="test of LISTEN"),
            asyncio.create_task(ear.closed.wait(), name="end of LISTEN"),
        ]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.wait(parts)

    async def _carry(self, ear: wire.Ear) -> None:
        while True:
            await self._something.wait()
            await asyncio.sleep(PAUSE_SECONDS)
            self._something.clear()
            topics, self._pending = self._pending, set()
            await ear.say(self._instance, sorted(topics))

    async def _test(self, ear: wire.Ear) -> None:
        while True:
            self._own_word.clear()
            await ear.say(self._instance, [_TEST])
            try:
                async with asyncio.timeout(DEAF_SECONDS):
                    await self._own_word.wait()
            except TimeoutError:
                self._health.deaf += 1
                logger.warning("LISTEN is deaf: does a pooler stand between? polling instead")
                return
            self._health.listening = True
            await asyncio.sleep(TEST_SECONDS)

    def _hear(self, instance: str, topics: list[str]) -> None:
        if instance == self._instance:
            self._own_word.set()
        else:
            self._bells.ring_here(*topics)
