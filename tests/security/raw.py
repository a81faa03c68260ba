"""A websocket as bytes on a socket, so that anything can be said: no library is asked."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from protocol.limits import RPC_PATH, SUBPROTOCOL

PATIENCE = 10.0  # seconds for anything that should happen
#: Code and reason of a value and of an id that are not as they should be.
VALUE = ("INVALID_ARGUMENT", "BAD_VALUE")
ID = ("INVALID_REQUEST", "BAD_VALUE")
GOOD = '"jsonrpc":"2.0"'  # how the text of each frame begins

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@dataclass(frozen=True, slots=True)
class Heard:
    """One frame of the far side."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """Of a close frame; 1005 where it has none."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else 1005


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back instead of, or as, the end of the upgrade."""

    status: int
    head: str
    body: bytes

    def reason(self) -> object:
        return json.loads(self.body).get("reason") if self.body.startswith(b"{") else None


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    mask: bool = True,
    rsv: int = 0,
    declared: int | None = None,
) -> bytes:
    """A frame, as broken as wanted: ``declared`` is the length that its head says."""
    size = len(payload) if declared is None else declared
    first = (fin << 7) | (rsv << 4) | opcode
    flag = mask << 7
    if size < 126:
        head = bytes([first, flag | size])
    elif size < 1 << 16:
        head = bytes([first, flag | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, flag | 127]) + size.to_bytes(8, "big")
    return head + (bytes(4) if mask else b"") + payload  # a key of zeros changes nothing


def text(said: str | dict[str, Any]) -> bytes:
    return frame(TEXT, (said if isinstance(said, str) else json.dumps(said)).encode())


def call(id: str, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}


def nested(levels: int) -> Any:
    """So many objects, each in the one before."""
    return {"a": nested(levels - 1)} if levels > 1 else {}


def op(params: str, method: str = "coord.status", id: str = '"x"') -> str:
    """The text of a call, with whatever is wrong in it."""
    return f'{{{GOOD},"id":{id},"method":"{method}","params":{params}}}'


class Raw:
    """A connection to the call port of a hub."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._ids = 0

    async def upgrade(
        self, headers: Sequence[str | bytes] = (), path: str = RPC_PATH, method: str = "GET"
    ) -> Answered:
        """Ask for the upgrade; each header is one whole line."""
        key = base64.b64encode(os.urandom(16)).decode()
        lines: list[str | bytes] = [
            f"{method} {path} HTTP/1.1", "Host: hub", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}",
            f"Sec-WebSocket-Protocol: {SUBPROTOCOL}", *headers, "", "",
        ]  # fmt: skip
        raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
        await self.send(b"\r\n".join(raw))
        return await self.answered()

    async def answered(self) -> Answered:
        async with asyncio.timeout(PATIENCE):
            try:
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            except (asyncio.IncompleteReadError, ConnectionError):
                return Answered(0, "", b"")  # it was closed without a word
            status = int(head.split(" ", 2)[1])
            return Answered(status, head, b"" if status == 101 else await self.reader.read())

    async def send(self, data: bytes) -> None:
        with suppress(ConnectionError):  # what it is closed with is still there to be read
            self.writer.write(data)
            await self.writer.drain()

    async def say(self, said: str | dict[str, Any]) -> None:
        await self.send(text(said))

    async def hear(self) -> Heard | None:
        """The next frame, or None at the end."""
        try:
            head = await self.reader.readexactly(2)
            size = head[1] & 0x7F
            if size > 125:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            return Heard(head[0] & 0x0F, await self.reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def read(self) -> dict[str, Any]:
        """The next text frame, pings answered by nobody."""
        async with asyncio.timeout(PATIENCE):
            while (heard := await self.hear()) is not None:
                if heard.opcode == TEXT:
                    found: dict[str, Any] = json.loads(heard.payload)
                    return found
                assert heard.opcode in (PING, PONG), heard
        raise AssertionError("the link has ended")

    async def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer to one call; other frames in between are passed over."""
        self._ids += 1
        id = f"c{self._ids}"
        await self.say(call(id, method, params))
        return await self.answer(id)

    async def answer(self, id: str | None) -> dict[str, Any]:
        while True:
            heard = await self.read()
            if "method" not in heard and heard.get("id") == id:
                return heard

    async def answers(self, *ids: str) -> list[dict[str, Any]]:
        """The answers to these calls, in this order, in whichever they come."""
        found: dict[object, dict[str, Any]] = {}
        while not found.keys() >= set(ids):
            heard = await self.read()
            if "method" not in heard:
                found[heard.get("id")] = heard
        return [found[id] for id in ids]

    async def close_code(self) -> int:
        """How the far side ended it, whatever it said before; 1006 without a close frame."""
        async with asyncio.timeout(PATIENCE):
            while (heard := await self.hear()) is not None:
                if heard.opcode == CLOSE:
                    return heard.code
        return 1006

    async def end(self) -> None:
        """Return when the far side has ended the connection itself."""
        async with asyncio.timeout(PATIENCE):
            while await self.hear() is not None:
                pass

    async def initialize(self, **hello: Any) -> dict[str, Any]:
        return await self.ask("initialize", {"protocolVersion": 1, "role": "client", **hello})


@asynccontextmanager
async def dialled(url: str, *, buffer: int | None = None) -> AsyncGenerator[Raw]:
    """A TCP connection, nothing said yet. ``buffer``: how little the kernel takes for us."""
    parts = urlsplit(url)
    sock = socket.socket()
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (parts.hostname, parts.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 16)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def entered(
    url: str, authorization: str, *, greet: bool = True, buffer: int | None = None
) -> AsyncGenerator[Raw]:
    """Upgraded, and initialized as a client."""
    async with dialled(url, buffer=buffer) as raw:
        said = await raw.upgrade([f"Authorization: {authorization}"])
        assert said.status == 101, said
        if greet:
            assert "result" in await raw.initialize()
        yield raw


async def knock(
    url: str, headers: Sequence[str | bytes] = (), path: str = RPC_PATH, method: str = "GET"
) -> Answered:
    """What somebody with these headers is answered."""
    async with dialled(url) as raw:
        return await raw.upgrade(headers, path, method)


def said(answer: dict[str, Any]) -> tuple[str, str]:
    """Code and reason of an error."""
    data = answer["error"]["data"]
    return str(data["code"]), str(data["reason"])
