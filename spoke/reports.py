"""What the hub is told beside the spool: where work was saved. Kept until it was told.

Of each attempt only the newest counts: what a lost link kept back is replaced by what came later.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from protocol.errors import CallError, LinkLost
from protocol.ops.wire import Saved

_log = logging.getLogger(__name__)

_AGAIN_S = 1.0  #: after the hub could not store, and stayed connected


class Channel(Protocol):
    """A welcomed link."""

    async def saved(self, report: Saved) -> None:
        """Raises CallError; LinkLost when the link is gone."""
        ...


class Reports:
    def __init__(self) -> None:
        self._kept: dict[tuple[str, int, str], Saved] = {}
        self._channel: Channel | None = None
        self._news = asyncio.Event()
        self._told = asyncio.Condition()

    @property
    def is_connected(self) -> bool:
        """The hub knows us, and has said what it thinks of each attempt."""
        return self._channel is not None

    def say(self, report: Saved) -> None:
        self._kept[_key(report)] = report
        self._news.set()

    async def wait_told(self, report: Saved, seconds: float) -> bool:
        """Whether, within `seconds`, the hub has this or something newer of its kind."""
        try:
            async with asyncio.timeout(seconds), self._told:
                await self._told.wait_for(lambda: _key(report) not in self._kept)
        except TimeoutError:
            return False
        return True

    def connect(self, channel: Channel) -> None:
        self._channel = channel
        self._news.set()

    def disconnect(self, channel: Channel) -> None:
        if self._channel is channel:
            self._channel = None

    async def tell(self) -> None:
        """Tells them, one after the other, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._channel is not None and self._kept:
                await self._tell_one(self._channel, next(iter(self._kept.values())))

    async def _tell_one(self, channel: Channel, report: Saved) -> None:
        """What took its place meanwhile waits behind the others."""
        try:
            await channel.saved(report)
        except LinkLost:
            self.disconnect(channel)
            return
        except CallError as error:
            if error.retryable:
                await asyncio.sleep(_AGAIN_S)
                return
            _log.warning("where %s is saved was not stored: %s", report.session_id, error)
        key = _key(report)
        if (newest := self._kept.pop(key)) is not report:
            self._kept[key] = newest
        async with self._told:
            self._told.notify_all()


def _key(report: Saved) -> tuple[str, int, str]:
    return report.session_id, report.attempt, report.ref
