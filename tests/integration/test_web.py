"""The ops page over HTTP: who gets in, what is refused, what is streamed (W1-W9, R1, R2)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

import coord
from hub.app import RunningHub, serve
from hub.desk import Desk
from hub.embedded.binaries import find
from hub.embedded.cluster import Cluster
from hub.settings import HubSettings
from hub.store import Store
from hub.web import door, live, wire
from hub.web.answers import HEADERS
from hub.web.hosts import allowed
from hub.web.lines import LINE_CHARS, shown
from hub.web.live import Streams
from hub.web.metrics import Metrics
from hub.web.overview import SESSIONS, Board, forest
from hub.web.pages import Pages
from hub.web.routes import Rooms, routes
from hub.web.visitor import Visitors
from protocol import tokens
from protocol.ops.catalogue import Role
from protocol.tokens import Kind
from tests.support import rows
from tests.support.browsing import PATIENCE, Said, raw, status, streaming
from tests.support.rows import record

JSON = {"Content-Type": "application/json"}
MARK = {**JSON, "X-Coord": "1"}
#: Every route that there is: method, path, and what a good credential gets.
ROUTES = [
    ("GET", "/", 200),
    ("GET", "/live", 200),
    ("GET", "/static/page.js", 200),
    ("GET", "/healthz", 200),
    ("GET", "/readyz", 200),
    ("GET", "/metrics", 200),
    ("POST", "/answer", 422),  # to whom, and what?
    ("POST", "/logout", 200),
]
OPEN = [("GET", "/login"), ("GET", "/static/login.js"), ("GET", "/static/coord.css")]


@pytest.fixture
async def web(running_hub: RunningHub) -> AsyncGenerator[httpx.AsyncClient]:
    """Somebody without any credential."""
    async with httpx.AsyncClient(base_url=running_hub.http_url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def desk(running_hub: RunningHub) -> Desk:
    return running_hub._desk


@pytest.fixture
async def bearer(running_hub: RunningHub) -> dict[str, str]:
    return {"Authorization": f"Bearer {await running_hub.admin_token('anna')}"}


async def log_in(hub: RunningHub, client: coord.Hub, web: httpx.AsyncClient) -> str:
    """Through the link that the hub gives; the cookie, which ``web`` has as well."""
    ticket = await client.call("hub.ticket", {})
    assert isinstance(ticket, dict)
    url = str(ticket["url"])
    assert url.startswith(f"{hub.http_url}/login#code=ckl_")
    headers = {**MARK, "Origin": hub.http_url}
    answer = await web.post("/login", json={"code": url.partition("=")[2]}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.cookies["coord"]


async def read(web: httpx.AsyncClient, method: str, path: str, **headers: str) -> httpx.Response:
    """A request of which the head is read; streams do not end."""
    body = b"{}" if method == "POST" else None
    async with web.stream(method, path, headers=headers, content=body) as answer:
        if "event-stream" not in answer.headers.get("content-type", ""):
            await answer.aread()
        return answer


async def story(store: Store, lines: int = 0) -> tuple[str, int, str, int]:
    spoke, at = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    attempt = await rows.run(store, spoke, at.epoch, id)
    if lines:
        await say(store, (spoke, at.epoch, id, attempt), 3, lines)
    return spoke, at.epoch, id, attempt


async def say(store: Store, at: tuple[str, int, str, int], first: int, count: int) -> None:
    spoke, epoch, id, attempt = at
    said = [record("stdout", text=f"line {first + n}") for n in range(count)]
    row = await store.exchange.append(spoke, epoch, id, attempt, first, said)
    assert (row.verdict, row.skipped) == ("ok", 0)


# Who gets in.


def test_the_matrix_knows_every_route(running_hub: RunningHub) -> None:
    desk = running_hub._desk
    gate = desk.links._gate
    visitors, board = Visitors(desk.store.access, gate), Board(desk)
    pages = Pages("hub", "1")
    streams = Streams(desk, board, visitors)
    app = routes(Rooms(desk, visitors, pages, streams, Metrics(desk, "1")))
    found = {
        (method, route.path)  # type: ignore[attr-defined]
        for route in app.routes
        for method in route.methods  # type: ignore[attr-defined]
    }
    known = {(method, re.sub("/static/.*", "/static/{name}", path)) for method, path, _ in ROUTES}
    known |= {("GET", "/login"), ("POST", "/login")}
    assert found == known


async def test_nothing_is_answered_without_a_credential(
    running_hub: RunningHub, web: httpx.AsyncClient
) -> None:
    for said in (
        None,
        "",
        "Bearer",
        "Bearer nonsense",
        "bearer " + tokens.new(Kind.USER),
        "Basic YTpi",
        f"Bearer {tokens.new(Kind.USER)}",
        f"Bearer {tokens.new(Kind.SESSION)}",
        f"Bearer {tokens.new(Kind.JOIN)}",
        f"Bearer {tokens.new(Kind.LOGIN)}",
        "Coord-Spoke spoke=sp_x,nonce=x,signature=00",
    ):
        for method, path, _ in ROUTES:
            headers = {} if said is None else {"Authorization": said}
            headers |= {**MARK, "Origin": running_hub.http_url}
            answer = await read(web, method, path, **headers)
            assert answer.status_code == 401, (said, path)
            assert answer.json()["reason"] == "UNAUTHENTICATED"
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_users_read_everything(web: httpx.AsyncClient, desk: Desk) -> None:
    for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN):
        token = tokens.new(Kind.USER)
        await desk.store.access.issue(token, "user", "v", role, 60, {})
        for method, path, good in ROUTES:
            answer = await read(web, method, path, **JSON, Authorization=f"Bearer {token}")
            assert answer.status_code == (400 if path == "/logout" else good), (role, path)


async def test_a_page_session_reads_everything(
    running_hub: RunningHub, client: coord.Hub, web: httpx.AsyncClient
) -> None:
    await log_in(running_hub, client, web)
    for method, path, good in ROUTES:
        answer = await read(web, method, path, **MARK, Origin=running_hub.http_url)
        assert answer.status_code == good, path


async def test_credentials_of_others_do_not_open_the_page(
    web: httpx.AsyncClient, desk: Desk
) -> None:
    """A session's, a join token, two credentials at once, and what was revoked or is too old."""
    spoke, _ = await rows.spoke(desk.store)
    id = (await rows.spawn(desk.store)).session_id
    token = tokens.new(Kind.SESSION)
    await desk.store.outbox.assign([(id, spoke, tokens.digest(token))])
    assert (await desk.store.access.session_of(token)) is not None
    access = desk.store.access
    join, old, gone, good = (tokens.new(kind) for kind in (Kind.JOIN, *[Kind.USER] * 3))
    await access.issue(join, "join", "j", "joining", 60, {})
    await access.issue(old, "user", "o", "admin", -1, {})
    gone_id, _ = await access.issue(gone, "user", "g", "admin", 60, {})
    await access.issue(good, "user", "u", "admin", 60, {})
    await access.revoke(gone_id)
    for one in (token, join, old, gone):
        answer = await web.get("/healthz", headers={"Authorization": f"Bearer {one}"})
        assert answer.status_code == 401, one[:4]
    twice = [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")]
    assert (await web.get("/healthz", headers=twice)).status_code == 401
    assert (await web.get("/healthz", headers=[twice[0]])).status_code == 200


async def test_only_a_login_makes_a_cookie_that_is_good(web: httpx.AsyncClient, desk: Desk) -> None:
    user, code = tokens.new(Kind.USER), tokens.new(Kind.LOGIN)
    await desk.store.access.issue(user, "user", "u", "admin", 60, {})
    await desk.store.access.issue(code, "login", "u", "admin", 60, {})
    for text in (user, code, "ckw_" + "a" * 43, "ckw_", "x" * 5_000, '"; Path=/'):
        answer = await web.get("/healthz", headers={"Cookie": f"coord={text}"})
        assert answer.status_code == 401, text[:4]


async def test_wrong_tokens_are_slowed_down(web: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            wrong = {"Authorization": f"Bearer {tokens.new(Kind.USER)}"}
            answer = await web.get("/healthz", headers=wrong)
            if answer.status_code != 401:
                break
    assert answer.status_code == 429
    assert answer.json()["reason"] == "RATE_LIMITED"
    assert int(answer.headers["retry-after"]) > 0


# The one-time code and the page session.


async def test_a_code_works_once(
    running_hub: RunningHub, client: coord.Hub, web: httpx.AsyncClient, desk: Desk
) -> None:
    code = tokens.new(Kind.LOGIN)
    await desk.store.access.issue(code, "login", "anna", "viewer", 60, {})
    headers = {**MARK, "Origin": running_hub.http_url}
    first = await web.post("/login", json={"code": code}, headers=headers)
    assert first.status_code == 200
    [cookie] = first.headers.get_list("set-cookie")
    name, _, rest = cookie.partition("=")
    assert name == "coord"
    assert {part.strip().lower() for part in rest.split(";")[1:]} == {
        "httponly", "max-age=43200", "path=/", "samesite=strict",
    }  # fmt: skip
    kept = await desk.store.access.find(first.cookies["coord"])
    assert kept is not None
    assert (kept.kind, kept.role, kept.name) == ("web", "viewer", "anna")
    async with httpx.AsyncClient(base_url=running_hub.http_url) as another:
        second = await another.post("/login", json={"code": code}, headers=headers)
    assert second.status_code == 401
    assert second.json()["reason"] == "LOGIN_CODE"
    assert "set-cookie" not in second.headers


async def test_a_code_that_is_late_or_wrong_opens_nothing(
    running_hub: RunningHub, web: httpx.AsyncClient, desk: Desk
) -> None:
    late, user = tokens.new(Kind.LOGIN), tokens.new(Kind.USER)
    await desk.store.access.issue(late, "login", "anna", "admin", -1, {})
    await desk.store.access.issue(user, "user", "anna", "admin", 60, {})
    headers = {**MARK, "Origin": running_hub.http_url}
    for code in (late, user, tokens.new(Kind.LOGIN), "", "ckl_x", "\0", "x" * 100_000):
        answer = await web.post("/login", json={"code": code}, headers=headers)
        assert answer.status_code == 401, code[:8]
        assert "set-cookie" not in answer.headers
    for body in ('{"code": 7}', "{}", "[]", "nonsense", '{"code": "a", "role": "admin"}'):
        answer = await web.post("/login", content=body, headers=headers)
        assert answer.status_code == 422, body
        assert "nonsense" not in answer.text


async def test_of_two_at_once_one_gets_in(
    running_hub: RunningHub, web: httpx.AsyncClient, desk: Desk
) -> None:
    code = tokens.new(Kind.LOGIN)
    await desk.store.access.issue(code, "login", "anna", "admin", 60, {})
    headers = {**MARK, "Origin": running_hub.http_url}
    answers = await asyncio.gather(
        *(web.post("/login", json={"code": code}, headers=headers) for _ in range(8))
    )
    assert sorted(one.status_code for one in answers) == [200] + [401] * 7


async def test_a_login_does_not_take_over_the_cookie_it_finds(
    running_hub: RunningHub, client: coord.Hub, web: httpx.AsyncClient
) -> None:
    web.cookies.set("coord", "ckw_" + "a" * 43)
    assert await log_in(running_hub, client, web) != "ckw_" + "a" * 43


async def test_logging_out_ends_the_session_and_its_stream(
    running_hub: RunningHub,
    client: coord.Hub,
    web: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "CHECK_SECONDS", 0.0)
    cookie = await log_in(running_hub, client, web)
    async with streaming(web, "/live") as stream:
        assert (await anext(stream)).event == "overview"
        out = await web.post("/logout", headers={**MARK, "Origin": running_hub.http_url}, json={})
        assert out.status_code == 200
        assert "max-age=0" in out.headers["set-cookie"].lower()
        assert [one async for one in stream if one.event == "lines"] == []
    again = await web.get("/healthz", headers={"Cookie": f"coord={cookie}"})
    assert again.status_code == 401


# Hosts, origins, methods, forged requests.


def ask(host: str | None, *more: str, path: str = "/healthz") -> bytes:
    hosts = [] if host is None else [f"Host: {host}"]
    return "\r\n".join(
        [f"GET {path} HTTP/1.1", *hosts, *more, "Connection: close", "", ""]
    ).encode()


async def test_it_answers_to_its_own_names_alone(
    running_hub: RunningHub, bearer: dict[str, str]
) -> None:
    url, port = running_hub.http_url, urlsplit(running_hub.http_url).port
    token = f"Authorization: {bearer['Authorization']}"
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert status(await raw(url, ask(host, token))) == 200, host
    for host in (
        "rebind.evil", f"rebind.evil:{port}", "127.0.0.1", "localhost", "127.0.0.1:1",
        f"localhost.evil:{port}", f"x@127.0.0.1:{port}", f"127.0.0.1:{port}/", "",
        f"0.0.0.0:{port}",
    ):  # fmt: skip
        answer = await raw(url, ask(host, token))
        assert status(answer) == 421, host
        assert b'"ok"' not in answer
    assert status(await raw(url, ask(None, token))) == 400
    assert status(await raw(url, ask(f"127.0.0.1:{port}", token, "Host: rebind.evil"))) == 400
    for path in ("/login", "/static/coord.css", "/nothing"):
        assert status(await raw(url, ask("rebind.evil", path=path))) == 421


def test_a_public_name_is_allowed_with_its_scheme(tmp_path: Path) -> None:
    def names(**more: object) -> dict[str, str]:
        said = {"database_url": "", "state": tmp_path, **more}
        return allowed(HubSettings.model_validate(said), 7480)

    assert names()["127.0.0.1:7480"] == "http"
    assert "0.0.0.0:7480" not in names(http_host="0.0.0.0", behind_proxy=True)
    public = names(public_url="wss://Coord.example:7443", behind_proxy=True)
    assert public["coord.example"] == public["coord.example:7480"] == "https"
    assert public["localhost:7480"] == "http"
    tls = names(tls_cert="c", tls_key="k", http_host="hub.example")
    assert tls["hub.example:7480"] == tls["127.0.0.1:7480"] == "https"
    assert names(http_host="::1")["[::1]:7480"] == "http"


async def test_a_foreign_origin_gets_nothing(
    running_hub: RunningHub, client: coord.Hub, web: httpx.AsyncClient, bearer: dict[str, str]
) -> None:
    url, port = running_hub.http_url, urlsplit(running_hub.http_url).port
    await log_in(running_hub, client, web)
    for origin in (
        "http://evil.example", "null", "", f"https://127.0.0.1:{port}", "http://127.0.0.1",
        f"http://127.0.0.1:{port}.evil.example", f"http://localhost:{port}", "file://", url + "/",
    ):  # fmt: skip
        for how in ({}, bearer):
            for method, path in (
                ("GET", "/"), ("POST", "/answer"), ("POST", "/logout"), ("GET", "/login"),
            ):  # fmt: skip
                answer = await read(web, method, path, **how, **MARK, Origin=origin)
                assert answer.status_code == 403, (origin, path)
                assert answer.json()["reason"] == "ORIGIN"
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Origin: http://evil.example"]
    assert status(await raw(url, ask(f"127.0.0.1:{port}", *upgrade, path="/live"))) == 403
    assert (await read(web, "GET", "/", Origin=url)).status_code == 200
    assert (await read(web, "GET", "/healthz")).status_code == 200, "nothing was logged out"


FORGED: list[tuple[dict[str, str | None], int]] = [
    ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": ""}, 415),
    ({"X-Coord": ""}, 403),
    ({"X-Coord": "2"}, 403),
    ({"Origin": None}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Sec-Fetch-Site": "none"}, 403),
]


async def test_a_forged_post_changes_nothing(
    running_hub: RunningHub, client: coord.Hub, web: httpx.AsyncClient, desk: Desk
) -> None:
    await log_in(running_hub, client, web)
    code = tokens.new(Kind.LOGIN)
    await desk.store.access.issue(code, "login", "anna", "admin", 60, {})
    ours = {**MARK, "Origin": running_hub.http_url, "Sec-Fetch-Site": "same-origin"}
    for wrong, expected in FORGED:
        sent = {name: text for name, text in (ours | wrong).items() if text is not None}
        for path in ("/logout", "/login", "/answer"):
            answer = await web.post(path, json={"code": code}, headers=sent)
            assert answer.status_code == expected, (wrong, path)
    assert (await web.get("/healthz")).status_code == 200
    unused = await desk.store.access.find(code)
    assert unused is not None and not unused.used


async def test_other_methods_are_not_answered(
    web: httpx.AsyncClient, bearer: dict[str, str]
) -> None:
    override = {"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST"}
    for path in [*(path for _, path, _ in ROUTES), "/login"]:
        for method in ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
            answer = await read(web, method, path, **bearer)
            assert answer.status_code == 405, (method, path)
            assert answer.headers["allow"]
        wrong = "GET" if path in ("/logout", "/answer") else "POST"
        if path != "/login":
            answer = await read(web, wrong, path, **bearer, **JSON, **override)
            assert answer.status_code == 405, (wrong, path)


async def test_a_token_in_the_url_is_refused_and_not_logged(
    web: httpx.AsyncClient, bearer: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for path in (
        "/?token=x", "/healthz?access_token=x", "/login?code=x", "/login?CODE=x",
        f"/?session={tokens.new(Kind.USER)}", f"/{tokens.new(Kind.SESSION)}",
        f"/live?a={tokens.new(Kind.LOGIN)}", f"/static/{tokens.new(Kind.JOIN)}",
    ):  # fmt: skip
        for headers in ({}, bearer):
            answer = await web.get(path, headers=headers)
            assert answer.status_code == 400, path
            assert answer.json()["reason"] == "TOKEN_IN_URL"
    ours = [one.getMessage() for one in caplog.records if not one.name.startswith("http")]
    assert not [text for text in ours if re.search("ck[a-z]_", text)]


# What every answer carries, and what is not there.


async def test_every_answer_carries_the_headers(
    running_hub: RunningHub, web: httpx.AsyncClient, bearer: dict[str, str], desk: Desk
) -> None:
    _, _, id, _ = await story(desk.store)
    answers = [await read(web, method, path, **bearer, **JSON) for method, path, _ in ROUTES]
    answers += [await web.get(path) for _, path in OPEN]
    answers += [
        await web.get("/nothing", headers=bearer),
        await web.get("/"),
        await web.get(f"/?session={id}", headers=bearer),
        await web.delete("/", headers=bearer),
        await web.get("/", headers={"Host": "rebind.evil"}),
        await web.post("/login", content=b"x", headers=MARK),
    ]
    for answer in answers:
        for name, value in HEADERS:
            assert answer.headers.get_list(name) == [value], (answer.url, name)
        assert "server" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control")]
    broken = (await raw(running_hub.http_url, b"nonsense\r\n\r\n")).lower()
    for name, value in HEADERS:
        assert f"{name}: {value}".lower().encode() in broken


async def test_people_get_a_page_that_says_how_to_get_in(web: httpx.AsyncClient) -> None:
    answer = await web.get("/", headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert "coordctl call hub.ticket" in answer.text


NOWHERE = [
    ("/nothing", 404),
    ("/docs", 404),
    ("/redoc", 404),
    ("/openapi.json", 404),
    ("/healthz/", 404),
    ("/static/", 404),
    ("/static/../server.py", 404),
    ("/static/..%2fserver.py", 404),
    ("/static/%00", 404),
    ("/%ff", 404),
    ("/%1b%0a", 404),
    ("/?session=ses_nobody", 404),
    ("/?session=%00", 404),
    ("/?session=%ff", 404),
    ("/?session=' OR 1=1", 404),
    ("/?session=" + "x" * 4_000, 404),
    ("/live?session=ses_nobody", 404),
    ("/live?after=-1", 422),
    ("/live?after=9223372036854775808", 422),
    ("/live?after=" + "9" * 5_000, 422),
    ("/?session=ses_x&until=x", 422),
]


async def test_what_is_not_there(running_hub: RunningHub, bearer: dict[str, str]) -> None:
    port = urlsplit(running_hub.http_url).port
    token = f"Authorization: {bearer['Authorization']}"
    for path, expected in NOWHERE:
        request = ask(f"127.0.0.1:{port}", token, path=path.replace(" ", "%20"))
        answer = await raw(running_hub.http_url, request)
        assert status(answer) == expected, path
        assert b'"reason"' in answer


# Limits.


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
    monkeypatch.setattr(door, "BODY_SECONDS", 0.2)
    head = (
        f"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: {url}\r\nX-Coord: 1\r\n"
        "Content-Type: application/json\r\n"
    ).encode()
    declared = head + b"Content-Length: %d\r\n\r\n"
    assert status(await raw(url, declared % (1 << 30) + b"x")) == 413
    assert status(await raw(url, declared % (1 << 80) + b"x")) in (400, 413)
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
    parts = urlsplit(running_hub.http_url)
    async with contextlib.AsyncExitStack() as stack:

        async def connect(said: bytes) -> asyncio.StreamReader:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            stack.callback(writer.close)
            writer.write(said)
            return reader

        halves = [b"GET /healthz HTTP/1.1\r\nHost: ", b""]
        idle = [(half, await connect(half)) for half in halves * 150]
        async with httpx.AsyncClient(base_url=running_hub.http_url, timeout=PATIENCE) as web:
            assert (await web.get("/healthz", headers=bearer)).status_code == 200
        async with asyncio.timeout(PATIENCE):
            for half, reader in idle:
                answer = await reader.read()
                assert (status(answer) == 408) if half else answer == b""


# What is seen.


async def test_text_from_outside_stays_text(
    web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str]
) -> None:
    evil = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\"'"
    new = dataclasses.replace(rows.new_session(branch=evil), task=evil, agent=evil)
    spoke, at = await rows.spoke(desk.store)
    await rows.spawn(desk.store, new)
    attempt = await rows.run(desk.store, spoke, at.epoch, new.session_id)
    lines = [
        record("stdout", text=evil),
        record("stderr", text="\x1b[31mred\x1b[0m \x1b]0;t\x07\u202e"),
    ]
    await desk.store.exchange.append(spoke, at.epoch, new.session_id, attempt, 3, lines)
    page = (await web.get(f"/?session={new.session_id}", headers=bearer)).text
    assert evil not in page
    assert "<img" not in page
    assert page.count("<script") == 1
    assert page.count("&lt;script&gt;alert(1)") >= 4
    assert "red ␛]0;t␇⟨U+202E⟩" in page
    async with streaming(web, f"/live?session={new.session_id}", bearer) as stream:
        seen = [await anext(stream), await anext(stream)]
    assert {one.event for one in seen} == {"overview", "lines"}
    assert all(len(one.text.splitlines()) == 1 for one in seen)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain \t text ✓ 日本 👩‍🚀", "plain \t text ✓ 日本 👩‍🚀"),
        ("\x1b[1;31mred\x1b[0m\r", "red"),
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("a\x00b\x08\x7f\x9b31m", "a␀b␈␡⟨U+009B⟩31m"),
        ("evil\u202egnp.exe\u2066\u200b", "evil⟨U+202E⟩gnp.exe⟨U+2066⟩⟨U+200B⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("x" * (LINE_CHARS + 1_234), "x" * LINE_CHARS + " … 1,234 more characters"),
    ],
)
def test_what_cannot_be_seen_is_shown(text: str, seen: str) -> None:
    assert shown(text) == seen


async def test_a_long_transcript_is_read_in_parts(
    web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str]
) -> None:
    at = await story(desk.store)
    await say(desk.store, at, 3, 1_200)
    seqs: list[int] = []
    path: str | None = f"/?session={at[2]}"
    while path is not None:
        page = (await web.get(path, headers=bearer)).text
        seqs = [int(seq) for seq in re.findall(r'data-seq="(\d+)"', page)] + seqs
        earlier = re.search(r'id="earlier" href="([^"]*until=\d+)">', page)
        path = None if earlier is None else earlier[1].replace("&amp;", "&")
    assert seqs == list(range(1, 1_200 + 4 + 1))


async def test_a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice(
    web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str]
) -> None:
    """Lines come from memory and from the database while the reader is cut off again and again."""
    at = await story(desk.store)
    total = 1_500

    async def write() -> None:
        for n, first in enumerate(range(3, total + 3, 30)):
            said = [record("stdout", text=f"line {first + i}") for i in range(30)]
            row = await desk.store.exchange.append(*at[:2], at[2], at[3], first, said)
            if n % 3:  # as when another hub stored them
                assert row.first_seq is not None
                desk.feed.stored(at[2], row.first_seq, at[3], said)

    writing = asyncio.create_task(write())
    seqs: list[int] = []
    last: str | None = None
    cuts = 0
    while len(seqs) < total + 4:
        headers = bearer if last is None else {**bearer, "Last-Event-ID": last}
        async with streaming(web, f"/live?session={at[2]}&after=0", headers) as stream:
            async for one in stream:
                if one.event == "lines":
                    seqs += seqs_of(one)
                    last = one.id
                    assert last == str(seqs[-1])
                    break
        cuts += 1
    await writing
    assert cuts > 3
    assert seqs == list(range(1, total + 4 + 1))


def seqs_of(said: Said) -> list[int]:
    batch = said.json()
    assert isinstance(batch, list)
    return [int(line["seq"]) for line in batch]


async def test_the_overview_comes_when_it_has_changed_and_only_then(
    web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "BEAT_SECONDS", 1)
    async with streaming(web, "/live", bearer) as stream:
        assert tasks(await anext(stream)) == []
        assert (await anext(stream)).event == "beat", "nothing changed"
        new = dataclasses.replace(rows.new_session(), task="fresh")
        await rows.spawn(desk.store, new)
        async for one in stream:
            if one.event == "overview":
                assert tasks(one) == ["fresh"]
                break


def tasks(said: Said) -> list[str]:
    assert said.event == "overview"
    seen = said.json()
    assert isinstance(seen, dict)
    return [str(one["task"]) for one in seen["overview"]["sessions"]]


async def test_nobody_watches_when_nobody_reads(
    web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str]
) -> None:
    at = await story(desk.store)
    async with streaming(web, f"/live?session={at[2]}", bearer) as stream:
        await anext(stream)
        assert desk.bells.heard(at[2])
    async with asyncio.timeout(PATIENCE):
        while desk.bells.heard(at[2]) or "overview" in names():
            await asyncio.sleep(0.01)


def names() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


async def test_there_are_as_many_readers_as_there_may_be(
    web: httpx.AsyncClient, bearer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "READERS", 1)
    async with streaming(web, "/live", bearer) as stream:
        await anext(stream)
        refused = await web.get("/live", headers=bearer)
        assert refused.status_code == 429
        assert refused.json()["reason"] == "TOO_MANY_READERS"


async def test_the_living_come_first_and_children_under_their_parents(store: Store) -> None:
    spoke, at = await rows.spoke(store)
    old = rows.new_session()
    child = rows.new_session(parent=old.session_id)
    grandchild = rows.new_session(parent=child.session_id)
    done = rows.new_session()
    for new in (old, child, done, grandchild):
        await rows.spawn(store, new)
    attempt = await rows.run(store, spoke, at.epoch, done.session_id)
    exited = record("exited", outcome="completed", exitCode=0)
    await store.exchange.append(spoke, at.epoch, done.session_id, attempt, 3, [exited])
    views = await store.sessions.views([one.session_id for one in (old, child, grandchild, done)])
    order = [(depth, row.session_id) for depth, row in forest(views)]
    assert order == [
        (0, old.session_id),
        (1, child.session_id),
        (2, grandchild.session_id),
        (0, done.session_id),
    ]
    orphans = [row for row in views if row.session_id != old.session_id]
    assert next(depth for depth, row in forest(orphans) if row.session_id == child.session_id) == 0


async def test_five_hundred_are_shown_and_more_are_said(
    web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str]
) -> None:
    await asyncio.gather(*(rows.spawn(desk.store) for _ in range(SESSIONS + 20)))
    page = (await web.get("/", headers=bearer)).text
    assert page.count('data-depth="0"') == SESSIONS
    assert f"{SESSIONS + 20} queued" in page
    assert '<p class="empty" id="more">' in page


# Figures and readiness, stopping.


async def test_figures(web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str]) -> None:
    await story(desk.store)
    await rows.spawn(desk.store)
    said = (await web.get("/metrics", headers=bearer)).text
    for row in (
        'coord_sessions{state="running"} 1.0', 'coord_sessions{state="queued"} 1.0',
        'coord_spokes{state="online"} 1.0', "coord_links 0.0", "coord_calls_in_flight 0.0",
    ):  # fmt: skip
        assert row in said
    assert re.search(r'coord_info\{hub="hub_\w+",version="[^"]+"\} 1\.0', said)
    assert re.search(r"coord_uptime_seconds \d", said)


async def test_not_ready_without_its_loops(
    running_hub: RunningHub, web: httpx.AsyncClient, bearer: dict[str, str]
) -> None:
    assert (await web.get("/readyz", headers=bearer)).json() == {"ready": True}
    [loops] = [part for part in running_hub._parts if part.get_name() == "loops"]
    loops.cancel()
    await asyncio.wait([loops])
    answer = await web.get("/readyz", headers=bearer)
    assert answer.status_code == 503
    assert "the loops" in answer.json()["message"]
    assert (await web.get("/healthz", headers=bearer)).status_code == 200


async def test_without_its_database_it_says_so_until_it_is_back(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="coord-test-"))  # short enough for a socket in it
    cluster = Cluster(folder, find(), durable=False)
    endpoint = await cluster.start()
    try:
        settings = HubSettings(
            database_url=endpoint.dsn_of("postgres"), port=0, http_port=0, state=tmp_path
        )
        async with serve(settings) as hub, httpx.AsyncClient(base_url=hub.http_url) as web:
            bearer = {"Authorization": f"Bearer {await hub.admin_token('anna')}"}
            async with streaming(web, "/live", bearer) as stream:
                assert tasks(await anext(stream)) == []
                await cluster.stop()
                assert [one async for one in stream if one.event != "overview"] == [], "it ends"
            for path in ("/", "/readyz", "/live"):
                answer = await web.get(path, headers=bearer)
                assert answer.status_code == 503, answer.text
                assert answer.json()["reason"] == "DATABASE_UNREACHABLE"
            await cluster.start()
            async with asyncio.timeout(PATIENCE):
                while (await web.get("/readyz", headers=bearer)).status_code != 200:
                    await asyncio.sleep(0.05)
            async with streaming(web, "/live", bearer) as stream:
                assert tasks(await anext(stream)) == []
    finally:
        await cluster.stop()
        shutil.rmtree(folder)


async def test_a_hub_that_stops_ends_its_streams(
    hub_database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = HubSettings(database_url=hub_database, port=0, http_port=0, state=tmp_path)
    before = asyncio.all_tasks()
    caplog.set_level(logging.WARNING)
    async with asyncio.timeout(PATIENCE), serve(settings) as hub, httpx.AsyncClient() as web:
        headers = {"Authorization": f"Bearer {await hub.admin_token('anna')}"}
        async with streaming(web, f"{hub.http_url}/live", headers) as stream:
            await anext(stream)
            page = next(part for part in hub._parts if part.get_name() == "ops page")
            page.cancel()
            assert [one async for one in stream if one.event == "lines"] == []
            await asyncio.wait([page])
    left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not [name for name in left if name in ("uvicorn", "overview", "ops page")]
    assert [one.getMessage() for one in caplog.records if one.name.startswith("uvicorn")] == []


async def test_the_page_over_tls(hub_database: str, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    settings = HubSettings(
        database_url=hub_database, port=0, http_port=0, state=tmp_path, tls_cert=cert, tls_key=key
    )
    async with serve(settings) as hub, httpx.AsyncClient(verify=False) as web:
        url = hub.http_url
        assert url.startswith("https://")
        code = tokens.new(Kind.LOGIN)
        await hub._desk.store.access.issue(code, "login", "anna", "admin", 60, {})
        answer = await web.post(
            f"{url}/login", json={"code": code}, headers={**MARK, "Origin": url}
        )
        [cookie] = answer.headers.get_list("set-cookie")
        assert cookie.startswith("__Host-coord=")
        assert "; secure" in cookie.lower()
        assert (await web.get(f"{url}/healthz")).status_code == 200
        plain = {"Cookie": f"coord={answer.cookies['__Host-coord']}"}
        async with httpx.AsyncClient(verify=False) as another:
            assert (await another.get(f"{url}/healthz", headers=plain)).status_code == 401


def certificate(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate for it that it signed itself: their files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files
