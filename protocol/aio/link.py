"""One link of a node: what waits to be written, and how patient we are with the far side."""

from __future__ import annotations

import asyncio
from collections import deque

from protocol.aio.wire import Wire
from protocol.errors import CallError, Internal, ProtocolViolation, ResourceExhausted
from protocol.frames import Fault, Frame, Reply, write
from protocol.limits import (
    CLOSE_FLOOD,
    CLOSE_VIOLATION,
    MAX_FRAME_BYTES,
    STREAM_HIGH_WATER_BYTES,
)

ACCUSATIONS = 3  #: answers to nothing that was asked, before the link is closed
JUNK_BURST = 1_000.0  #: frames that need no work of ours: this many at once,
JUNK_PER_SECOND = 200.0  #: and this many on and on


class Link:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._waiting: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._below = asyncio.Event()
        self._below.set()
        self._queued = 0
        self._accused = 0
        self._junk = JUNK_BURST
        self._junk_at = 0.0
        self.writing_since: float | None = None  #: loop time at which the running send began

    def put(self, frame: Frame) -> None:
        text = _text(frame)
        self._waiting.append(text)
        self._queued += len(text)
        if self._queued > STREAM_HIGH_WATER_BYTES:
            self._below.clear()
        self._wake.set()

    async def wait_below_high_water(self) -> None:
        await self._below.wait()

    async def write(self) -> None:
        """Write what is put, in order, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            while self._waiting:
                text = self._waiting.popleft()
                self.writing_since = loop.time()
                await self._wire.send(text)
                self.writing_since = None
                self._queued -= len(text)
                if self._queued <= STREAM_HIGH_WATER_BYTES:
                    self._below.set()
            self._wake.clear()

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


def _text(frame: Frame) -> bytes:
    """The frame as text; an answer that cannot be written becomes an answer that says so."""
    try:
        text = write(frame)
    except (ValueError, TypeError) as error:
        if not isinstance(frame, Reply):
            raise
        return write(Fault(frame.id, Internal("UNWRITABLE", f"the answer is not JSON: {error}")))
    if len(text) > MAX_FRAME_BYTES and isinstance(frame, Reply):
        return write(Fault(frame.id, _too_large(len(text))))
    return text


def _too_large(size: int) -> CallError:
    return ResourceExhausted(
        "TOO_LARGE",
        f"the answer has {size} bytes; a frame carries {MAX_FRAME_BYTES}",
        advice="ask for fewer at a time (limit, after)",
        retryable=False,
    )
