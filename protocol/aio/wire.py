"""What a link is made of: a websocket, or a pipe in a test."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import SERVER, State

from protocol.aio.framing import opened, sealed
from protocol.errors import ProtocolViolation
from protocol.limits import CLOSE_BAD_DATA, CLOSE_GOING_AWAY, CLOSE_SLOW

FOR_GOOD: Final = frozenset({1000, CLOSE_GOING_AWAY})
FOR_CAUSE: Final = frozenset(range(4400, 4500)) - {CLOSE_SLOW}  #: a slow one may read on later
UNREAD_BYTES: Final = 1 << 18  #: of what arrived and was not received: no more is read meanwhile


class Wire(Protocol):
    """Frames in order, both ways, until it ends."""

    async def send(self, texts: Sequence[bytes]) -> None:
        """Send text frames; returns when the transport took them. Silent once the wire ended."""
        ...

    def takes(self) -> bool:
        """Whether it is open, and its transport takes more."""
        ...

    def write(self, texts: Sequence[bytes]) -> None:
        """Send text frames at once. Only where it `takes` any."""
        ...

    async def receive(self, most: int | None = None) -> Sequence[bytes]:
        """The texts that have arrived, at least one and at ``most`` so many; none at the end.

        Raises ProtocolViolation for what is no text.
        """
        ...

    def parted(self) -> bool:
        """Whether it ended because one side closed it on purpose, and for good."""
        ...

    async def close(self, code: int, reason: str) -> None: ...

    def cut(self) -> None:
        """End it at once, without a word."""
        ...


class WebsocketWire(asyncio.Protocol):
    """An open websocket, whose place at the transport it takes.

    It reads and writes whole texts itself, many at a time, and hands all else to the websocket.
    What the websocket was handed and has not given back yet keeps its place: until then, what comes
    after it is handed over too.
    """

    def __init__(self, websocket: Connection) -> None:
        self._websocket = websocket
        self._is_server = websocket.protocol.side is SERVER
        self._begun = b""  # a text whose end has not arrived
        self._texts: list[bytes] = []  # that arrived,
        self._unread = 0  # and the bytes that they came in
        self._arrived: asyncio.Future[None] | None = None  # somebody waits for them
        self._handed = True  # there may be something of which the websocket has a part
        websocket.transport.set_protocol(self)

    async def send(self, texts: Sequence[bytes]) -> None:
        websocket = self._websocket
        with suppress(ConnectionClosed, OSError):
            if self._is_open():
                # As `websocket.send`, but all frames with one write, and without its context.
                self.write(texts)
                await websocket.drain()
            else:
                async with websocket.send_context():  # waits for the end, and sees to it
                    pass

    def takes(self) -> bool:
        return self._is_open() and not self._websocket.paused

    def write(self, texts: Sequence[bytes]) -> None:
        self._websocket.transport.write(sealed(texts, masked=not self._is_server))

    async def receive(self, most: int | None = None) -> Sequence[bytes]:
        while not self._texts:
            if self._websocket.recv_messages.frames or self._websocket.recv_messages.closed:
                return await self._receive_handed()
            self._arrived = asyncio.get_running_loop().create_future()
            try:
                await self._arrived
            finally:
                self._arrived = None
        if most is not None and most < len(self._texts):
            texts, self._texts = self._texts[:most], self._texts[most:]
            return texts
        texts, self._texts = self._texts, []
        websocket = self._websocket
        is_full = websocket.recv_messages.paused  # it reads on by itself, when it is not
        if self._unread > UNREAD_BYTES and not is_full and not websocket.transport.is_closing():
            websocket.transport.resume_reading()
        self._unread = 0
        return texts

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

    def _is_open(self) -> bool:
        websocket = self._websocket
        return websocket.state is State.OPEN and not websocket.transport.is_closing()

    # What the transport says.

    def data_received(self, data: bytes) -> None:
        if self._handed and not self._is_given_back():
            self._hand_over(data)
        else:
            texts, rest, is_text = opened(self._begun + data, masked=self._is_server)
            self._begun = rest if is_text else b""
            if texts:
                self._take(texts, len(data))
            if rest and not is_text:
                self._hand_over(rest)
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def eof_received(self) -> None:
        if self._begun:
            self._hand_over(self._begun)
            self._begun = b""
        self._websocket.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._websocket.connection_lost(exc)
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def pause_writing(self) -> None:
        self._websocket.pause_writing()

    def resume_writing(self) -> None:
        self._websocket.resume_writing()

    def _take(self, texts: list[bytes], size: int) -> None:
        """Somebody will receive them, and read on where that was stopped."""
        self._texts += texts
        self._unread += size
        if self._unread > UNREAD_BYTES:
            self._websocket.transport.pause_reading()

    # What is the websocket's.

    def _hand_over(self, data: bytes) -> None:
        self._handed = True
        self._websocket.data_received(data)

    def _is_given_back(self) -> bool:
        """Whether the websocket is open, and has a part of nothing, and nothing to be received."""
        protocol, messages = self._websocket.protocol, self._websocket.recv_messages
        self._handed = bool(
            protocol.state is not State.OPEN
            or protocol.reader.buffer
            or protocol.current_size is not None
            or messages.frames
            or messages.get_in_progress
        )
        return not self._handed

    async def _receive_handed(self) -> Sequence[bytes]:
        try:
            message = await self._websocket.recv()
        except ConnectionClosed:
            return ()
        if isinstance(message, bytes):
            raise ProtocolViolation(CLOSE_BAD_DATA, "frames are text")
        return (message.encode(),)
