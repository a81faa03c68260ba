"""Waking whoever waits for a change: bells inside this process, and word of them to other hubs.

A bell says that something may have changed, never what: the listener looks for itself, and looks
anyway once a second, because another hub may have made the change and its word may be lost.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress

POLL_SECONDS = 1.0
QUEUE = "queue"  #: a spoke may have room, or somebody is in the queue again
ROOM = "room"  #: a session has ended
SPAWNED = "spawned"  #: somebody new is in the queue
HUBS = "hubs"  #: a hub came, is to drain, or a spoke has moved from one to another


def outbox(spoke_id: str) -> str:
    """The bell of a spoke's outbox."""
    return f"outbox:{spoke_id}"


def asked(instance: str) -> str:
    """The bell of a hub that is asked for something."""
    return f"asked:{instance}"


class Bell:
    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._by: set[str] = set()  #: the topics that rang it

    def ring(self, topic: str) -> None:
        self._by.add(topic)
        self._rung.set()

    def hush(self) -> None:
        """It has not rung yet: its listener is about to look anyway."""
        self._by.clear()
        self._rung.clear()

    async def wait(self, within: float | None = POLL_SECONDS) -> None:
        """Return when rung since the last wait, or after ``within`` seconds; None: not before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._rung.wait()
        self.hush()

    async def wait_each(self, topics: AbstractSet[str], within: float) -> None:
        """Return when each of ``topics`` rang since the last wait, or after ``within`` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not topics <= self._by:
                    self._rung.clear()
                    await self._rung.wait()
        self.hush()


class Bells:
    def __init__(self) -> None:
        self._listening: defaultdict[str, set[Bell]] = defaultdict(set)
        self._abroad: Callable[[Iterable[str]], None] | None = None

    def ring(self, *topics: str) -> None:
        """Here, and at every other hub."""
        self.ring_here(*topics)
        if self._abroad is not None:
            self._abroad(topics)

    def ring_here(self, *topics: str) -> None:
        for topic in topics:
            for bell in self._listening.get(topic, ()):
                bell.ring(topic)

    def ring_all_here(self) -> None:
        """Word from other hubs may have been lost: everybody looks."""
        self.ring_here(*list(self._listening))

    def tell_abroad(self, tell: Callable[[Iterable[str]], None] | None) -> None:
        """Who carries word to the other hubs; None while there are none."""
        self._abroad = tell

    @property
    def is_heard_abroad(self) -> bool:
        return self._abroad is not None

    def heard(self, topic: str) -> bool:
        """Whether anybody listens."""
        return topic in self._listening

    @contextmanager
    def listening(self, *topics: str) -> Generator[Bell]:
        """A bell that any of the topics rings."""
        bell = Bell()
        for topic in topics:
            self._listening[topic].add(bell)
        try:
            yield bell
        finally:
            for topic in topics:
                self._listening[topic].discard(bell)
                if not self._listening[topic]:
                    del self._listening[topic]
