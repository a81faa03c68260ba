"""What other pages have browsers ask: hosts, origins, methods, forged posts, tokens in URLs."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

import coord
from hub.app import RunningHub
from hub.desk import Desk
from hub.settings import HubSettings
from hub.web.hosts import allowed
from protocol import tokens
from protocol.tokens import Kind
from tests.integration.web.browsing import ask, raw, status
from tests.integration.web.visiting import JSON, MARK, ROUTES, log_in, read


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
