"""The one way in: host, method, origin, size and credential are checked before any route is.

Nothing behind it works without a credential, except what OPEN lists; a new route is closed until
it is written there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.web.answers import JSON, refusal
from hub.web.pages import Pages
from hub.web.visitor import Visitor, Visitors
from protocol.errors import CallError, InvalidArgument, PermissionDenied, Unauthenticated

OPEN: Final = frozenset(
    {
        ("GET", "/login"),
        ("POST", "/login"),  # it uses a login code up
        ("GET", "/static/login.js"),
        ("GET", "/static/coord.css"),
    }
)
MAX_BODY: Final = 1 << 20
BODY_SECONDS: Final = 15.0
MARK: Final = "x-coord"  #: no form and no foreign page can send this header
_METHODS: Final = ("GET", "POST")
_TOKEN: Final = re.compile(r"ck[jsulw]_[0-9A-Za-z]{8}")
_TOKEN_NAMES: Final = frozenset({"token", "access_token", "authorization", "code"})


class Door:
    """ASGI middleware around all routes. ``hosts``: see `hub.web.hosts.allowed`."""

    def __init__(
        self, app: ASGIApp, hosts: Mapping[str, str], visitors: Visitors, pages: Pages
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._visitors = visitors
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            scope["visitor"] = await self._visitor(request)
            if request.method == "POST":
                receive = _again(await _body(receive), receive)
        except CallError as error:
            allow = {"Allow": ", ".join(_METHODS)}
            await refusal(self._pages, request, error, allow)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _visitor(self, request: Request) -> Visitor | None:
        headers = request.headers
        scheme, host = self._site(headers)
        request.scope["secure"] = scheme == "https"
        _check_request(request, f"{scheme}://{host}")
        if (request.method, request.scope["path"]) in OPEN:
            return None
        cookie = request.cookies.get(cookie_name(secure=scheme == "https"))
        address = request.client.host if request.client else "unknown"
        return await self._visitors.admit(headers.getlist("authorization"), cookie, address)

    def _site(self, headers: Headers) -> tuple[str, str]:
        said = headers.getlist("host")
        if len(said) != 1:
            raise InvalidArgument("BAD_HOST", "there must be one Host header")
        host = said[0].lower()
        if host not in self._hosts:
            raise InvalidArgument(
                "WRONG_HOST",
                "this page does not answer to that name",
                advice="open it under the name that the hub printed at its start",
            )
        return self._hosts[host], host


def visitor(request: Request) -> Visitor:
    """Who was let in. Raises Unauthenticated on what OPEN lists."""
    found: object = request.scope.get("visitor")
    if not isinstance(found, Visitor):
        raise Unauthenticated("UNAUTHENTICATED", "nobody came through the door")
    return found


def is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS to whoever is in front."""
    return request.scope["secure"] is True


def cookie_name(*, secure: bool) -> str:
    return "__Host-coord" if secure else "coord"


def _check_request(request: Request, own: str) -> None:
    if request.method not in _METHODS:
        raise InvalidArgument("BAD_METHOD", "GET and POST are all that is answered here")
    _check_no_token(request)
    _check_origin(request.headers, own)
    _check_size(request)
    if request.method == "POST":
        _check_post(request.headers)


def _check_no_token(request: Request) -> None:
    named = {name.lower() for name in request.query_params}
    if named & _TOKEN_NAMES or _TOKEN.search(request.url.path + "?" + request.url.query):
        raise InvalidArgument(
            "TOKEN_IN_URL",
            "a token has no place in a URL",
            advice="send it as Authorization: Bearer; treat what was in the URL as leaked",
        )


def _check_origin(headers: Headers, own: str) -> None:
    """Whoever says where they come from, comes from here."""
    said = headers.getlist("origin")
    if said and said != [own]:
        raise PermissionDenied("ORIGIN", "a page of another origin asks")


def _check_post(headers: Headers) -> None:
    """A change is asked for by a program with a token, or by our own page and no other."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise InvalidArgument("NOT_JSON", "the body is application/json")
    if "authorization" in headers:
        return
    from_here = headers.get("sec-fetch-site", "same-origin") == "same-origin"
    if "origin" not in headers or headers.get(MARK) != "1" or not from_here:
        raise PermissionDenied("ORIGIN", "only this page itself may ask for that")


def _check_size(request: Request) -> None:
    headers = request.headers
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BODY:
        raise _too_large()
    if request.method == "GET" and _has_body(headers):
        raise InvalidArgument("UNEXPECTED_BODY", "a GET has no body")


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > MAX_BODY:
                    raise _too_large()
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise InvalidArgument("TOO_SLOW", "the body did not come in time") from None


def _again(body: bytes, receive: Receive) -> Receive:
    """What was read, for the routes to read."""
    said = False

    async def next_message() -> Message:
        nonlocal said
        if said:
            return await receive()
        said = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


def _too_large() -> InvalidArgument:
    return InvalidArgument("TOO_LARGE", f"a body has at most {MAX_BODY:,} bytes")
