"""One link of a node: what waits to be written, and how patient we are with the far side."""

from __future__ import annotations

import asyncio
from collections import deque

from protocol.aio.wire import Wire
from protocol.errors import (
    BY_CODE,
    CallError,
    Internal,
    InvalidArgument,
    ProtocolViolation,
    ResourceExhausted,
)
from protocol.frames import Abort, Call, Fault, Frame, Reply, write
from protocol.limits import (
    CLOSE_FLOOD,
    CLOSE_SLOW,
    CLOSE_VIOLATION,
    MAX_FRAME_BYTES,
    STREAM_HIGH_WATER_BYTES,
)

ACCUSATIONS = 3  #: answers to nothing that was asked, before the link is closed
JUNK_BURST = 1_000.0  #: frames that need no work of ours: this many at once,
JUNK_PER_SECOND = 200.0  #: and this many on and on
MOST_QUEUED_BYTES = 64 * STREAM_HIGH_WATER_BYTES  #: of answers that the far side asked for


class Link:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._waiting: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._below = asyncio.Event()
        self._below.set()
        self._written = asyncio.Event()
        self._written.set()
        self._queued = 0
        self._accused = 0
        self._junk = JUNK_BURST
        self._junk_at = 0.0
        self.writing_since: float | None = None  #: loop time at which the running send began

    def put(self, frame: Frame) -> CallError | None:
        """Queue a frame. What cannot be written at all is not queued: the error says why."""
        try:
            text = _text(frame)
        except CallError as error:
            return error
        self._waiting.append(text)
        self._queued += len(text)
        self._written.clear()
        if self._queued > STREAM_HIGH_WATER_BYTES:
            self._below.clear()
        self._wake.set()
        return None

    async def wait_below_high_water(self) -> None:
        await self._below.wait()

    async def wait_written(self) -> None:
        await self._written.wait()

    def end(self) -> None:
        """Nothing is written any more: nobody shall wait for it."""
        self._below.set()
        self._written.set()

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
            self._written.set()
            self._wake.clear()

    def earn(self) -> None:
        """We were asked something, or sent an item: one abort or credit may follow from it."""
        self._junk = min(JUNK_BURST, self._junk + 1)

    def check_taken(self) -> None:
        """Raises ProtocolViolation when the far side asks on and on, and takes no answers."""
        if self._queued > MOST_QUEUED_BYTES:
            raise ProtocolViolation(CLOSE_SLOW, "answers are not taken")

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
    """The frame as text; an answer that cannot be written becomes an answer that says so.

    Raises CallError (UNWRITABLE, TOO_LARGE) for what is not an answer.
    """
    try:
        text = write(frame)
    except (ValueError, TypeError) as error:
        refused = _unwritable(frame, error)
    else:
        if len(text) <= MAX_FRAME_BYTES:
            return text
        refused = _too_large(len(text))
    match frame:
        case Reply(id):
            return write(Fault(id, refused))
        case Fault(id, fault):
            return write(Fault(id, _plain(fault)))
        case Abort(id):
            return write(Abort(id))  # it must arrive; its reason need not
        case _:
            raise refused


def _unwritable(frame: Frame, error: Exception) -> CallError:
    kind = InvalidArgument if isinstance(frame, Call) else Internal
    return kind("UNWRITABLE", f"this is not JSON: {str(error)!a}")


def _plain(error: CallError) -> CallError:
    """The same error with what can be written of its words, and no details."""
    return BY_CODE[error.code](
        _cleaned(error.reason),
        _cleaned(error.message),
        advice=_cleaned(error.advice),
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
    )


def _cleaned(text: str) -> str:
    return text[:4_096].encode(errors="replace").decode()


def _too_large(size: int) -> CallError:
    return ResourceExhausted(
        "TOO_LARGE",
        f"this has {size} bytes; a frame carries {MAX_FRAME_BYTES}",
        advice="ask for fewer at a time (limit, after), or say less at a time",
        retryable=False,
    )
