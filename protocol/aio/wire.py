"""What a link is made of: a websocket, or a pipe in a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed


class Wire(Protocol):
    """Frames in order, both ways, until it ends."""

    async def send(self, text: bytes) -> None:
        """Send one text frame; returns when the transport took it. Silent once the wire ended."""
        ...

    def messages(self) -> AsyncIterator[str | bytes]:
        """What arrives, until the wire ends; how it ended is not told."""
        ...

    async def close(self, code: int, reason: str) -> None: ...

    def cut(self) -> None:
        """End it at once, without a word."""
        ...


class WebsocketWire:
    def __init__(self, websocket: Connection) -> None:
        self._websocket = websocket

    async def send(self, text: bytes) -> None:
        try:
            await self._websocket.send(text, text=True)
        except ConnectionClosed:
            return

    async def messages(self) -> AsyncIterator[str | bytes]:
        try:
            while True:
                yield await self._websocket.recv()
        except ConnectionClosed:
            return

    async def close(self, code: int, reason: str) -> None:
        await self._websocket.close(code, reason[:120])

    def cut(self) -> None:
        self._websocket.transport.abort()
