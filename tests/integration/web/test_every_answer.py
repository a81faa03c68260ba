"""What each answer of the ops page carries, and what is answered where there is nothing."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from hub.app import RunningHub
from hub.desk import Desk
from hub.web.answers import HEADERS
from tests.integration.web.browsing import ask, raw, status
from tests.integration.web.visiting import JSON, MARK, OPEN, ROUTES, read
from tests.support.seat import seat


async def test_every_answer_carries_the_headers(
    running_hub: RunningHub, web: httpx.AsyncClient, bearer: dict[str, str], desk: Desk
) -> None:
    id = (await seat(desk.store)).id
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
