"""What a link is made of: a websocket, or a pipe in a test."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from protocol.limits import CLOSE_GOING_AWAY, CLOSE_SLOW

FOR_GOOD: Final = frozenset({1000, CLOSE_GOING_AWAY})
FOR_CAUSE: Final = frozenset(range(4400, 4500)) - {CLOSE_SLOW}  #: a slow one may read on later


class Wire(Protocol):
    """Frames in order, both ways, until it ends."""

    async def send(self, texts: Sequence[bytes]) -> None:
        """Send text frames; returns when the transport took them. Silent once the wire ended."""
        ...

    async def receive(self) -> str | bytes | None:
        """The next message; None at the end."""
        ...

    def parted(self) -> bool:
        """Whether it ended because one side closed it on purpose, and for good."""
        ...

    async def close(self, code: int, reason: str) -> None: ...

    def cut(self) -> None:
        """End it at once, without a word."""
        ...


class WebsocketWire:
    def __init__(self, websocket: Connection) -> None:
        self._websocket = websocket

    async def send(self, texts: Sequence[bytes]) -> None:
        websocket = self._websocket
        with suppress(ConnectionClosed, OSError):
            if websocket.state is State.OPEN and not websocket.transport.is_closing():
                # As `websocket.send`, but all frames with one write, and without its context.
                for text in texts:
                    websocket.protocol.send_text(text)
                websocket.transport.write(b"".join(websocket.protocol.data_to_send()))
                await websocket.drain()
            else:
                async with websocket.send_context():  # waits for the end, and sees to it
                    pass

    async def receive(self) -> str | bytes | None:
        try:
            return await self._websocket.recv()
        except ConnectionClosed:
            return None

    def parted(self) -> bool:
        protocol = self._websocket.protocol
        return any(
            close is not None and (close.code in FOR_GOOD or close.code in FOR_CAUSE)
            for close in (protocol.close_rcvd, protocol.close_sent)
        )

    async def close(self, code: int, reason: str) -> None:
        await self._websocket.close(code, reason[:120])

    def cut(self) -> None:
        self._websocket.transport.abort()
