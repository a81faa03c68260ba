"""What is answered, behind the door."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Header, Query
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict
from sse_starlette import EventSourceResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from hub.bells import QUEUE
from hub.desk import Desk
from hub.store.sessions import no_session
from hub.web import asked, overview
from hub.web.answers import refusal
from hub.web.door import cookie_name, is_secure, visitor
from hub.web.lines import line
from hub.web.live import Streams
from hub.web.metrics import Metrics
from hub.web.pages import Chosen, Pages, Reader
from hub.web.visitor import PAGE_SECONDS, Visitor, Visitors
from protocol.errors import CallError, Internal, InvalidArgument, NotFound, Unavailable
from protocol.limits import MAX_INTEGER
from protocol.ops.questions import AnswerParams

LINES: Final = 500  #: of a transcript, on one page
READY_SECONDS: Final = 3.0
_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)

Seq = Annotated[int, Query(ge=0, le=MAX_INTEGER)]
Let = Annotated[Visitor, Depends(visitor)]


class LoginBody(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    code: str


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the routes lead to."""

    desk: Desk
    visitors: Visitors
    pages: Pages
    streams: Streams
    metrics: Metrics


def routes(rooms: Rooms) -> FastAPI:
    # Its own documents would be open to all, and describe what nobody asked for.
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    _add_reading(app, rooms)
    _add_answering(app, rooms)
    _add_entrance(app, rooms)
    _add_probes(app, rooms)
    _add_errors(app, rooms.pages)
    return app


def _add_reading(app: FastAPI, rooms: Rooms) -> None:
    @app.get("/")
    async def main(who: Let, session: str | None = None, until: Seq | None = None) -> HTMLResponse:
        seen = await overview.read(rooms.desk)
        chosen = None if session is None else await _chosen(rooms.desk, _id(session), until)
        name = f"{who.principal.name} ({who.principal.role})"
        reader = Reader(name, answers=asked.may_answer(who.principal))
        return HTMLResponse(rooms.pages.main(reader, overview.now(), seen, chosen))

    @app.get("/live")
    async def live(
        who: Let,
        session: str | None = None,
        after: Seq = 0,
        last_event_id: Annotated[int | None, Header(ge=0, le=MAX_INTEGER)] = None,
    ) -> EventSourceResponse:
        seq = after if last_event_id is None else last_event_id
        return await rooms.streams.open(who, None if session is None else _id(session), seq)

    @app.get("/static/{name}")
    async def static(name: str) -> Response:
        if name not in rooms.pages.static:
            raise _nothing_here()
        content, kind = rooms.pages.static[name]
        return Response(content, media_type=kind)


def _add_answering(app: FastAPI, rooms: Rooms) -> None:
    @app.post("/answer")
    async def answer(request: Request, who: Let, body: AnswerParams) -> JSONResponse:
        address = request.client.host if request.client else "unknown"
        said = await asked.give(rooms.desk, who.principal, address, body)
        return JSONResponse(said.model_dump(mode="json", by_alias=True))


def _add_entrance(app: FastAPI, rooms: Rooms) -> None:
    @app.get("/login")
    async def login() -> HTMLResponse:
        return HTMLResponse(rooms.pages.login())

    @app.post("/login")
    async def log_in(request: Request, body: LoginBody) -> JSONResponse:
        address = request.client.host if request.client else "unknown"
        cookie = await rooms.visitors.log_in(body.code, address)
        answer = JSONResponse({"ok": True})
        _set_cookie(answer, cookie, PAGE_SECONDS, secure=is_secure(request))
        return answer

    @app.post("/logout")
    async def log_out(request: Request, who: Let) -> JSONResponse:
        if not who.by_cookie:
            raise InvalidArgument(
                "NO_PAGE_SESSION",
                "a token is revoked, not logged out",
                advice="coordctl call token.revoke",
            )
        await rooms.visitors.log_out(who)
        answer = JSONResponse({"ok": True})
        _set_cookie(answer, "", 0, secure=is_secure(request))
        return answer


def _add_probes(app: FastAPI, rooms: Rooms) -> None:
    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"ok": True})

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        missing = await _missing(rooms.desk)
        if missing:
            raise Unavailable(
                "NOT_READY", f"missing: {', '.join(missing)}", advice="coordctl doctor"
            )
        return JSONResponse({"ready": True})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await rooms.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI, pages: Pages) -> None:
    @app.exception_handler(CallError)
    async def call_error(request: Request, error: CallError) -> Response:
        return refusal(pages, request, error)

    @app.exception_handler(RequestValidationError)
    async def bad_value(request: Request, error: RequestValidationError) -> Response:
        fields = ", ".join(".".join(str(part) for part in one["loc"]) for one in error.errors())
        return refusal(
            pages, request, InvalidArgument("BAD_VALUE", f"not as it should be: {fields}")
        )

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        said: CallError = _nothing_here()
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            said = InvalidArgument("BAD_METHOD", "not with this method")
        return refusal(pages, request, said, error.headers)

    @app.exception_handler(Exception)
    async def our_fault(request: Request, _: Exception) -> Response:
        return refusal(pages, request, Internal("INTERNAL", "a fault of ours; the log says more"))


async def _chosen(desk: Desk, id: str, until: int | None) -> Chosen:
    """The end of a transcript; or, with ``until``, the part of it that ends there."""
    row = await desk.store.sessions.view(id)
    story = await desk.store.sessions.story(id)
    end = story.last_seq if until is None else min(until, story.last_seq)
    first = max(0, end - LINES)
    events = await desk.store.sessions.events(story, id, first, end - first)
    return Chosen(
        session=overview.session_line(row, 0),
        lines=[line(event) for event in events],
        first=first + 1,
        last=end,
        live=end == story.last_seq,
    )


async def _missing(desk: Desk) -> list[str]:
    missing: list[str] = []
    try:
        async with asyncio.timeout(READY_SECONDS):
            await desk.store.fleet.leases()
    except (CallError, TimeoutError):
        missing.append("the database")
    # The loops are one group and end together; the one that places sessions listens for them.
    if not desk.bells.heard(QUEUE):
        missing.append("the loops")
    return missing


def _set_cookie(answer: Response, text: str, seconds: int, *, secure: bool) -> None:
    answer.set_cookie(
        cookie_name(secure=secure), text, max_age=seconds, path="/", secure=secure, httponly=True,
        samesite="strict",
    )  # fmt: skip


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise no_session(text)
    return text


def _nothing_here() -> NotFound:
    return NotFound("NOT_FOUND", "there is nothing here", advice="the page itself is at /")
