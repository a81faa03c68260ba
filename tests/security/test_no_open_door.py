"""Nothing answers a stranger: every path of both ports, on loopback too; and idle ones go."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Route

import coord
from hub.app import RunningHub
from hub.settings import HubSettings
from hub.web.door import OPEN
from hub.web.live import Streams
from hub.web.metrics import Metrics
from hub.web.overview import Board
from hub.web.pages import Pages
from hub.web.routes import Rooms, routes
from hub.web.visitor import Visitors
from protocol import limits, tokens
from protocol.limits import BEAT_PATH, NONCE_PATH, RPC_PATH
from protocol.tokens import Kind
from tests.security import people
from tests.security.people import Watch
from tests.security.raw import PATIENCE, Raw, dialled, knock

IDLE = 500

METHODS = ("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
#: What a stranger may have: the way in, and what it is made of.
ENTRANCE = {
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/static/login.js"),
    ("GET", "/static/coord.css"),
}


def app_of(hub: RunningHub) -> FastAPI:
    desk = people.desk_of(hub)
    visitors, board = Visitors(desk.store.access, desk.links._gate), Board(desk)
    pages = Pages("hub", "1")
    streams = Streams(desk, board, visitors)
    return routes(Rooms(desk, visitors, pages, streams, Metrics(desk, "1")))


def paths_of(hub: RunningHub) -> set[str]:
    """Every path of the ops page, as it is now: a new route is tried without being named here."""
    found: set[str] = set()
    for route in app_of(hub).routes:
        assert isinstance(route, Route), f"{route}: a kind of route that is not tried here"
        found.add(route.path)
    names = Pages("hub", "1").static
    assert "/static/{name}" in found
    return (found - {"/static/{name}"}) | {f"/static/{name}" for name in names}


def more_paths(known: set[str]) -> set[str]:
    """What is there in other servers, and other ways to write what is there in ours."""
    others = {"/docs", "/redoc", "/openapi.json", "/admin", "/.env", "/debug", "/v1/rpc", "//"}
    return others | {f"{path}/" for path in known} | {f"/{path}" for path in known}


STRANGE: dict[str, dict[str, str]] = {
    "nothing": {},
    "a token of nobody": {"Authorization": f"Bearer {tokens.new(Kind.USER)}"},
    "a cookie of nobody": {"Cookie": f"coord=ckw_{'A' * 43}"},
    "who says to be local": {"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1"},
    "who says to be somebody": {"X-Forwarded-User": "admin", "Remote-User": "admin"},
    "another method": {"X-HTTP-Method-Override": "GET"},
}


def test_the_entrance_is_no_wider_than_it_was() -> None:
    assert OPEN == ENTRANCE


async def test_no_route_of_the_page_is_open(running_hub: RunningHub, watch: Watch) -> None:
    known = paths_of(running_hub)
    assert len(known) > 8
    refused = 0
    async with httpx.AsyncClient(base_url=running_hub.http_url, timeout=PATIENCE) as web:
        for path in sorted(known | more_paths(known)):
            for method in METHODS:
                for name, headers in STRANGE.items():
                    if (method, path) in ENTRANCE:
                        continue
                    people.forgive(running_hub)
                    answer = await web.request(method, path, headers=headers)
                    said = (method, path, name, answer.status_code)
                    assert answer.status_code in (400, 401, 403, 405, 415), said
                    if method == "GET":
                        assert answer.status_code == 401, said
                    refused += 1
    assert refused > 1_000


async def test_the_entrance_opens_for_a_code_alone(running_hub: RunningHub) -> None:
    headers = {"X-Coord": "1", "Origin": running_hub.http_url}
    async with httpx.AsyncClient(base_url=running_hub.http_url, timeout=PATIENCE) as web:
        for code in ("", "x", tokens.new(Kind.LOGIN), tokens.new(Kind.USER)):
            answer = await web.post("/login", json={"code": code}, headers=headers)
            assert answer.status_code == 401
            assert "set-cookie" not in answer.headers
        for path in ("/login", "/static/login.js", "/static/coord.css"):
            answer = await web.get(path)
            assert answer.status_code == 200
            assert running_hub.hub_id not in answer.text


async def test_no_path_of_the_call_port_is_open(running_hub: RunningHub, watch: Watch) -> None:
    """A nonce is all that a stranger gets: to sign, if there is anything to sign it with."""
    ours = {path for name, path in vars(limits).items() if name.endswith("_PATH")}
    assert ours == {RPC_PATH, NONCE_PATH, BEAT_PATH}
    known = paths_of(running_hub) | more_paths(paths_of(running_hub)) | ours
    tried = known | {f"{path}/" for path in ours} | {path.upper() for path in ours}
    tried |= {f"/x/..{RPC_PATH}", f"{RPC_PATH}%00", f"{NONCE_PATH}/../rpc", f"http://h{RPC_PATH}"}
    for path in sorted(tried):
        for headers in ([], [f"Authorization: Bearer {tokens.new(Kind.USER)}"]):
            people.forgive(running_hub)
            answer = await knock(running_hub.url, headers, path)
            if path == NONCE_PATH:
                assert answer.status == 200
                assert json.loads(answer.body).keys() == {"nonce", "hubId"}
            else:
                assert answer.status == (401 if path in (RPC_PATH, BEAT_PATH) else 404), path
    for path in ours:
        for method in METHODS[1:]:
            people.forgive(running_hub)
            answer = await knock(running_hub.url, [], path, method)
            assert answer.status in (0, 400, 401, 405) or path == NONCE_PATH


async def test_a_credential_is_asked_for_again_on_each_link(running_hub: RunningHub) -> None:
    """Who was let in once is not known by their address."""
    token = (await people.user(running_hub, "admin")).token
    async with coord.connect(running_hub.url, token):
        assert (await knock(running_hub.url)).status == 401
        async with httpx.AsyncClient(base_url=running_hub.http_url) as web:
            assert (await web.get("/")).status_code == 401


async def test_a_hub_has_no_setting_that_opens_it(running_hub: RunningHub) -> None:
    assert not {
        name
        for name in HubSettings.model_fields
        if any(word in name for word in ("auth", "anonymous", "insecure", "open", "token"))
    }


async def test_r1_many_that_say_nothing_do_not_keep_one_out(
    running_hub: RunningHub, watch: Watch
) -> None:
    """They are ended by the hub itself; meanwhile a client that speaks is served."""
    token = (await people.user(running_hub, "viewer")).token
    idle = [await asyncio.open_connection(*address(running_hub)) for _ in range(IDLE)]
    for n, (_, writer) in enumerate(idle):
        writer.write((b"", b"GET ", b"GET /v1/rpc HTTP/1.1\r\nHost: h\r\n")[n % 3])
    try:
        async with asyncio.timeout(PATIENCE), coord.connect(running_hub.url, token) as hub:
            await hub.status()
        async with asyncio.timeout(3 * PATIENCE):
            for reader, _ in idle:
                await ended(reader)
    finally:
        for _, writer in idle:
            writer.transport.abort()
        await asyncio.gather(*(w.wait_closed() for _, w in idle), return_exceptions=True)
    await watch.check()


async def ended(reader: asyncio.StreamReader) -> None:
    try:
        await reader.read()
    except ConnectionError:
        return


def address(hub: RunningHub) -> tuple[str, int]:
    host, _, port = hub.url.removeprefix("ws://").partition(":")
    return host, int(port)


@pytest.mark.parametrize("half", [b"", b"G", b"GET /v1/rpc HTTP/1.1\r\n"])
async def test_r1_a_stranger_who_leaves_in_the_middle_is_forgotten(
    running_hub: RunningHub, watch: Watch, half: bytes
) -> None:
    for _ in range(50):
        async with dialled(running_hub.url) as raw:
            await raw.send(half)
    assert (await knock(running_hub.url)).status == 401
    assert people.desk_of(running_hub).links.count() == 1, "the innocent"


async def test_who_was_admitted_and_leaves_before_the_upgrade_is_forgotten(
    running_hub: RunningHub, watch: Watch
) -> None:
    token = (await people.user(running_hub, "viewer")).token
    for _ in range(20):
        async with dialled(running_hub.url) as raw:
            upgrading = asyncio.create_task(Raw.upgrade(raw, [f"Authorization: Bearer {token}"]))
            await asyncio.sleep(0)
            raw.writer.transport.abort()
            await asyncio.wait([upgrading])
            upgrading.exception()
    async with coord.connect(running_hub.url, token) as hub:
        await hub.status()
        async with asyncio.timeout(PATIENCE):
            while people.desk_of(running_hub).links.count() > 2:
                await asyncio.sleep(0)
