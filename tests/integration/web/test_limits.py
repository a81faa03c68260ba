"""Requests that are too large, too slow, or could be read in two ways."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from hub.app import RunningHub
from hub.web import door, wire
from tests.integration.web.browsing import PATIENCE, ask, raw, status


async def test_heads_are_limited(running_hub: RunningHub, bearer: dict[str, str]) -> None:
    url, port = running_hub.http_url, urlsplit(running_hub.http_url).port
    host = f"127.0.0.1:{port}"
    assert status(await raw(url, ask(host, "X: " + "x" * 2_000_000))) == 431
    assert status(await raw(url, ask(host, *(["X: x"] * 20_000)))) == 431
    assert status(await raw(url, ask(host, *(["X: x"] * 200)))) == 431
    assert status(await raw(url, ask(host, path="/" + "x" * 1_000_000))) == 400
    assert status(await raw(url, ask(host, path="/" + "x" * 20_000))) == 400
    assert status(await raw(url, ask(host, "X: " + "x" * 20_000))) == 401


AMBIGUOUS = [
    b"POST /login HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: a\r\n folded\r\n\r\n",
    b"GET /healthz HTTP/1.1\nHost: h\nConnection: close\n\n",
    b"GET /healthz HTTP/1.1\r\nHost : h\r\n\r\n",
    b"GET  /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\x16\x03\x01\x00\x00",
]


async def test_what_could_be_read_in_two_ways_is_not_read(running_hub: RunningHub) -> None:
    for request in AMBIGUOUS:
        answer = await raw(running_hub.http_url, request)
        assert answer.count(b"HTTP/1.1") == 1, request
        assert status(answer) in (400, 421), request


async def test_bodies_are_limited(running_hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    url, port = running_hub.http_url, urlsplit(running_hub.http_url).port
    head = (
        f"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: {url}\r\nX-Coord: 1\r\n"
        "Content-Type: application/json\r\n"
    ).encode()
    declared = head + b"Content-Length: %d\r\n\r\n"
    assert status(await raw(url, declared % (1 << 30) + b"x")) == 413
    assert status(await raw(url, declared % (1 << 80) + b"x")) in (400, 413)
    with monkeypatch.context() as hurried:
        hurried.setattr(door, "BODY_SECONDS", 0.2)
        assert status(await raw(url, declared % 10 + b"x")) == 408
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 176
    assert status(await raw(url, chunked)) == 413
    get = ask(f"127.0.0.1:{port}", "Content-Length: 5", path="/login") + b"hello"
    assert status(await raw(url, get)) == 400


async def test_idle_and_half_open_connections_end(
    running_hub: RunningHub, bearer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "HEAD_SECONDS", 2.0)
    where = urlsplit(running_hub.http_url)
    async with contextlib.AsyncExitStack() as stack:

        async def connect(said: bytes) -> asyncio.StreamReader:
            sock = socket.create_connection((where.hostname, where.port))
            sock.sendall(said)  # before the hub, which runs in this loop, begins to count
            reader, writer = await asyncio.open_connection(sock=sock)
            stack.callback(writer.close)
            return reader

        halves = [b"GET /healthz HTTP/1.1\r\nHost: ", b""]
        idle = [(half, await connect(half)) for half in halves * 150]
        async with httpx.AsyncClient(base_url=running_hub.http_url, timeout=PATIENCE) as web:
            assert (await web.get("/healthz", headers=bearer)).status_code == 200
        async with asyncio.timeout(PATIENCE):
            for half, reader in idle:
                answer = await reader.read()
                assert (status(answer) == 408) if half else answer == b""
