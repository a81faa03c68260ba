"""The routes of the ops page, and how they are visited: with a page session or any headers."""

from __future__ import annotations

import httpx

import coord
from hub.app import RunningHub

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
