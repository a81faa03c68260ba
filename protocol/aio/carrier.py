"""One wire in use: what arrives goes to the node, what the link has to say is written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from protocol.aio.link import Link
from protocol.aio.wire import Wire
from protocol.errors import ProtocolViolation
from protocol.limits import STALLED_SECONDS
from protocol.resume import Turn

logger = logging.getLogger(__name__)

FAIRNESS: Final = 64  #: frames of one link handled before the others get their turn,
FRAME_WEIGHT: Final = 16_384  #: where so many bytes count as one more
BATCH_BYTES: Final = 1 << 16  #: of what waits, written at once

Take = Callable[["Carrier", bytes], None]


class Carrier:
    """``link`` is what this wire carries; none any more once it was fenced."""

    def __init__(self, wire: Wire, link: Link) -> None:
        self.wire = wire
        self._writing_since: float | None = None  # loop time at which the running send began
        self._full = False  # what was written out of turn is not taken yet
        self.carry(link, link.ledger.turn)

    def carry(self, link: Link, turn: Turn) -> None:
        """From now on this is the wire of that link."""
        self.link: Link | None = link
        self.turn = turn
        link.much = self._write_now

    async def run(self, take: Take) -> None:
        """Until the wire ends."""
        name = self.link.id if self.link is not None else "nothing"
        writer = asyncio.create_task(self._write(), name=f"write {name}")
        watch = asyncio.create_task(self._watch(), name=f"watch {name}")
        try:
            await self._read(take)
        except ProtocolViolation as violation:
            logger.warning("link %s closed: %s", name, violation)
            await self.wire.close(violation.close_code, str(violation))
        finally:
            for task in (writer, watch):
                task.cancel()
            await asyncio.wait([writer, watch])

    def drop(self) -> None:
        """It carries nothing any more; what still arrives is nobody's."""
        self.link = None
        self.wire.cut()

    async def _read(self, take: Take) -> None:
        turn = 0
        while texts := await self.wire.receive():
            for text in texts:
                take(self, text)
                turn += 1 + len(text) // FRAME_WEIGHT
                if turn >= FAIRNESS:
                    turn = 0
                    await asyncio.sleep(0)

    async def _write(self) -> None:
        """Write what the link has to say, in order; what is ready leaves together."""
        loop = asyncio.get_running_loop()
        while (link := self.link) is not None:
            texts = link.ledger.take(BATCH_BYTES)
            if texts or self._full:
                self._full = False
                self._writing_since = loop.time()
                await self.wire.send(texts)
                self._writing_since = None
                link.wrote()
            else:  # looked at before it is cleared: another wire's writer may have been woken too
                link.wake.clear()
                await link.wake.wait()

    def _write_now(self) -> None:
        """Much waits: the far side can begin with it while we go on."""
        link = self.link
        if link is not None and self._writing_since is None and self.wire.takes():
            self.wire.write(link.ledger.take(BATCH_BYTES))
            self._full = not self.wire.takes()
            link.wrote()

    async def _watch(self) -> None:
        """Cut a wire whose far side takes no data: a ping would wait behind that same data."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(STALLED_SECONDS / 6)
            since = self._writing_since
            if since is not None and loop.time() - since > STALLED_SECONDS:
                logger.warning("a peer took no data for %.0f s: cut", STALLED_SECONDS)
                self.wire.cut()
