"""A wire made of nothing: two ends, no sockets, frames in order until it is cut or closed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from protocol.errors import ProtocolViolation
from protocol.limits import CLOSE_BAD_DATA

READ: Final = 32  #: messages that one read brings at the most


class End:
    """One end of a pipe; it is a `protocol.aio.wire.Wire`.

    `hold` stops this end from taking data: the far side's `send` waits, as it would on a full
    socket. `inject` puts many frames there at once, as one read of a socket would.
    """

    def __init__(self) -> None:
        self.closed: tuple[int, str] | None = None  # how we closed it
        self._far = self
        self._inbox: deque[str | bytes] = deque()
        self._arrived = asyncio.Event()
        self._taking = asyncio.Event()
        self._taking.set()
        self._over = False

    def join(self, far: End) -> None:
        self._far = far

    # The wire of a node.

    async def send(self, texts: Sequence[bytes]) -> None:
        await self._far._taking.wait()
        self.write(texts)

    def takes(self) -> bool:
        return self._far._taking.is_set() and not self._over

    def write(self, texts: Sequence[bytes]) -> None:
        self._far.inject(*(text.decode() for text in texts))

    async def receive(self, most: int | None = READ) -> list[bytes]:
        first = await self._next()
        if isinstance(first, bytes):
            raise ProtocolViolation(CLOSE_BAD_DATA, "frames are text")
        texts = [] if first is None else [first]
        while self._inbox and len(texts) != most and isinstance(text := self._inbox[0], str):
            texts.append(text)
            self._inbox.popleft()
        return [text.encode(errors="surrogatepass") for text in texts]

    async def _next(self) -> str | bytes | None:
        while not self._inbox:
            if self._over:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._inbox.popleft()

    def parted(self) -> bool:
        return any(end.closed is not None for end in (self, self._far))

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self.cut()

    def cut(self) -> None:
        for end in (self, self._far):
            end._over = True
            end._arrived.set()
            end._taking.set()

    # The hands of a test.

    def inject(self, *messages: str | bytes) -> None:
        """These messages have arrived here."""
        if not self._over:
            self._inbox.extend(messages)
            self._arrived.set()

    def hold(self) -> None:
        self._taking.clear()

    def release(self) -> None:
        self._taking.set()

    async def take(self, count: int = 1) -> list[str | bytes]:
        """The next messages that arrive here."""
        taken: list[str | bytes] = []
        while len(taken) < count:
            if (message := await self._next()) is None:
                raise EOFError(f"over after {len(taken)} of {count} messages")
            taken.append(message)
        return taken


def pipe() -> tuple[End, End]:
    near, far = End(), End()
    near.join(far)
    far.join(near)
    return near, far
