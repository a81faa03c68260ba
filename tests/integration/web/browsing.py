"""Bytes for the ops page and back: bare requests, and its stream of events."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Said:
    """One event of a stream."""

    event: str
    id: str | None
    text: str

    def json(self) -> object:
        return json.loads(self.text)


async def said(answer: httpx.Response) -> AsyncIterator[Said]:
    fields: dict[str, str] = {}
    async for row in answer.aiter_lines():
        if row:
            name, _, value = row.partition(": ")
            fields[name] = value
        elif fields:
            yield Said(fields.get("event", "message"), fields.get("id"), fields.get("data", ""))
            fields = {}


@asynccontextmanager
async def streaming(
    client: httpx.AsyncClient, path: str, headers: dict[str, str] | None = None
) -> AsyncGenerator[AsyncIterator[Said]]:
    async with (
        asyncio.timeout(PATIENCE),
        client.stream("GET", path, headers=headers, timeout=None) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        yield said(answer)


async def overview(stream: AsyncIterator[Said]) -> Said:
    """The next one; beats come whenever nothing else did for a while."""
    async for one in stream:
        if one.event != "beat":
            assert one.event == "overview", one
            return one
    raise AssertionError("the stream has ended")


def tasks(overview: Said) -> list[str]:
    """What the sessions of an overview are to do."""
    assert overview.event == "overview"
    seen = overview.json()
    assert isinstance(seen, dict)
    return [str(one["task"]) for one in seen["overview"]["sessions"]]


def ask(host: str | None, *more: str, path: str = "/healthz") -> bytes:
    """A request as bytes, with these lines in its head."""
    hosts = [] if host is None else [f"Host: {host}"]
    return "\r\n".join(
        [f"GET {path} HTTP/1.1", *hosts, *more, "Connection: close", "", ""]
    ).encode()


async def raw(url: str, request: bytes) -> bytes:
    """What comes back for these bytes until the far side closes, whether it took them all or not.

    A stream would forget what it has read as soon as it cannot write.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        async with asyncio.timeout(PATIENCE):
            await loop.sock_connect(sock, (parts.hostname, parts.port))
            asking = asyncio.create_task(_write(sock, request))
            try:
                return await _read(sock)
            finally:
                asking.cancel()
                await asyncio.wait([asking])


async def _write(sock: socket.socket, request: bytes) -> None:
    with suppress(ConnectionError):
        await asyncio.get_running_loop().sock_sendall(sock, request)


async def _read(sock: socket.socket) -> bytes:
    answer = bytearray()
    with suppress(ConnectionError):
        while part := await asyncio.get_running_loop().sock_recv(sock, 1 << 16):
            answer += part
    return bytes(answer)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])
