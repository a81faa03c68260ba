"""Who gets into the ops page, and who does not: each credential at every route."""

from __future__ import annotations

import asyncio
import re

import httpx
from starlette.routing import Route

import coord
from hub.app import RunningHub
from hub.desk import Desk
from hub.web.live import Streams
from hub.web.metrics import Metrics
from hub.web.overview import Board
from hub.web.pages import Pages
from hub.web.routes import Rooms, routes
from hub.web.visitor import Visitors
from protocol import tokens
from protocol.ops.catalogue import Role
from protocol.tokens import Kind
from tests.integration.web.browsing import PATIENCE
from tests.integration.web.visiting import JSON, MARK, ROUTES, log_in, read
from tests.support import rows


def test_the_matrix_knows_every_route(running_hub: RunningHub) -> None:
    desk = running_hub._desk
    gate = desk.links._gate
    visitors, board = Visitors(desk.store.access, gate), Board(desk)
    pages = Pages("hub", "1")
    streams = Streams(desk, board, visitors)
    app = routes(Rooms(desk, visitors, pages, streams, Metrics(desk, "1")))
    found: set[tuple[str, str]] = set()
    for route in app.routes:
        assert isinstance(route, Route), f"{route}: a kind of route that is not known here"
        found |= {(method, route.path) for method in route.methods or ()}
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


async def test_people_get_a_page_that_says_how_to_get_in(web: httpx.AsyncClient) -> None:
    answer = await web.get("/", headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert "coordctl call hub.ticket" in answer.text


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
