"""The one-time code, and the page session that it is exchanged for, from login to logout."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

import coord
from hub.app import RunningHub, serve
from hub.desk import Desk
from hub.settings import HubSettings
from hub.web import live
from protocol import tokens
from protocol.tokens import Kind
from tests.integration.web.browsing import streaming
from tests.integration.web.visiting import MARK, log_in
from tests.support.certificates import certificate


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


async def test_the_page_over_tls(hub_database: str, tmp_path: Path) -> None:
    cert, key, _ = certificate(tmp_path)
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
