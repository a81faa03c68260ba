"""One link of a node: what is to be written, and how patient we are with the far side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from protocol.aio.encoding import text_of
from protocol.effects import LinkId
from protocol.errors import CallError, ProtocolViolation
from protocol.frames import Ack, Frame, write
from protocol.limits import (
    CLOSE_FLOOD,
    CLOSE_SLOW,
    CLOSE_VIOLATION,
    MAX_KEPT_BYTES,
    STREAM_HIGH_WATER_BYTES,
)
from protocol.resume import Ledger, Turn

MUCH = 64  #: frames that wait are not kept until the loop has had its turn
ACCUSATIONS = 3  #: answers to nothing that was asked, before the link is closed
JUNK_BURST = 1_000.0  #: frames that need no work of ours: this many at once,
JUNK_PER_SECOND = 200.0  #: and this many on and on


class Link:
    """``ledger`` has what was said and heard; it may be carried by one wire after the other."""

    def __init__(self, id: LinkId) -> None:
        self.id = id
        self.ledger = Ledger()
        self.wake = asyncio.Event()  # there is something to write
        self.much: Callable[[], None] = _nobody  # is told when that is much
        self._below = _set()
        self._written = _set()
        self._silent = True  # nothing was said since all was written
        self._accused = 0
        self._junk = JUNK_BURST
        self._junk_at = 0.0

    # What we say.

    def put(self, frame: Frame) -> CallError | None:
        """Queue a frame. What cannot be written at all is not queued: the error says why."""
        try:
            text = text_of(frame)
        except CallError as error:
            return error
        self.ledger.say(text)
        if self.ledger.size > STREAM_HIGH_WATER_BYTES:
            self._below.clear()
        if self._silent:
            self._silent = False
            self._written.clear()
            self.wake.set()
        elif self.ledger.waiting >= MUCH:
            self.much()
        return None

    def wrote(self) -> None:
        """What was taken is written."""
        self._measure()
        if not self.ledger.has_more:
            self._silent = True
            self._written.set()

    async def wait_below_high_water(self) -> None:
        await self._below.wait()

    async def wait_written(self) -> None:
        await self._written.wait()

    def end(self) -> None:
        """Nothing is written any more: nobody shall wait for it."""
        self._below.set()
        self._written.set()

    # What we hear.

    def hear(self, turn: Turn, message: bytes) -> bool:
        """Whether a frame that a wire brought is heard; it is acknowledged, at times."""
        ledger = self.ledger
        if not ledger.hear(turn, len(message)):
            return False
        if ledger.keeps and ledger.owes_ack():
            ledger.say_loose([write(Ack(ledger.told()))])
            self.wake.set()
        return True

    def acknowledge(self, heard: int) -> None:
        """Raises ProtocolViolation when the far side heard more than was said."""
        self.ledger.acknowledge(heard)
        self._measure()

    def asked(self) -> None:
        """We are asked something: one abort or credit may follow from it.

        Raises ProtocolViolation when the far side asks on and on, and takes no answers.
        """
        if self.ledger.size > MAX_KEPT_BYTES:
            raise ProtocolViolation(CLOSE_SLOW, "answers are not taken")
        if self._junk < JUNK_BURST:
            self._junk += 1

    def earn(self) -> None:
        """We sent an item: one credit may follow from it."""
        if self._junk < JUNK_BURST:
            self._junk += 1

    @property
    def overflows(self) -> bool:
        """More is kept for the far side than it may ask us to keep."""
        return self.ledger.size > MAX_KEPT_BYTES

    def accuse(self) -> None:
        """Raises ProtocolViolation at the third broken rule."""
        self._accused += 1
        if self._accused >= ACCUSATIONS:
            raise ProtocolViolation(CLOSE_VIOLATION, "answers to calls that were never placed")

    def junk(self) -> None:
        """One more frame that could not be used. Raises ProtocolViolation when it is a flood."""
        now = asyncio.get_running_loop().time()
        refilled = self._junk + (now - self._junk_at) * JUNK_PER_SECOND
        self._junk, self._junk_at = min(JUNK_BURST, refilled) - 1, now
        if self._junk < 0:
            raise ProtocolViolation(CLOSE_FLOOD, "too many frames that mean nothing")

    def _measure(self) -> None:
        if self.ledger.size <= STREAM_HIGH_WATER_BYTES:
            self._below.set()


def _nobody() -> None:
    """No wire carries it."""


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
