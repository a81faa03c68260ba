"""What is seen of the hub, as a stream: the overview when it changes, the lines of one session.

A reader has a position in its session's story, the last sequence number it was given; it is the id
of each batch of lines, so that a browser that comes back says where it was. Nothing is kept for a
reader that is slow: it is sent the next batch when it has taken the last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack
from typing import Final

from pydantic_core import to_json
from sse_starlette import EventSourceResponse, ServerSentEvent

from hub.desk import Desk
from hub.store.rows.exchange import EventRow, StoryRow
from hub.web.lines import line
from hub.web.overview import CHANGED, Board, now
from hub.web.visitor import Visitor, Visitors
from protocol.errors import CallError, ResourceExhausted

logger = logging.getLogger(__name__)

READERS: Final = 64
BEAT_SECONDS: Final = 15
CHECK_SECONDS: Final = 5.0  #: how long a stream may outlive its credential
STALLED_SECONDS: Final = 30.0


class Streams:
    def __init__(self, desk: Desk, board: Board, visitors: Visitors) -> None:
        self._desk = desk
        self._board = board
        self._visitors = visitors
        self._readers = 0
        self._stopping = False

    def stop(self) -> None:
        """End all streams; those who read come back to whoever serves next."""
        self._stopping = True
        self._desk.bells.ring_here(CHANGED)

    async def open(self, visitor: Visitor, session: str | None, after: int) -> EventSourceResponse:
        """Raises NotFound (no such session), ResourceExhausted (TOO_MANY_READERS)."""
        if self._readers >= READERS:
            raise ResourceExhausted(
                "TOO_MANY_READERS",
                f"{READERS} pages are open already",
                advice="close one of them",
                retry_after_ms=10_000,
            )
        story = None if session is None else await self._desk.store.sessions.story(session)
        response = EventSourceResponse(
            self._stream(visitor, session, story, after),
            ping=BEAT_SECONDS,
            ping_message_factory=_beat,
            send_timeout=STALLED_SECONDS,
        )
        del response.headers["cache-control"]  # every answer has it already
        return response

    async def _stream(
        self, visitor: Visitor, session: str | None, story: StoryRow | None, after: int
    ) -> AsyncGenerator[ServerSentEvent]:
        self._readers += 1
        try:
            async for said in self._said(visitor, session, story, after):
                yield said
        except CallError as error:
            logger.info("a stream ended: %s", error.reason)
        finally:
            self._readers -= 1

    async def _said(
        self, visitor: Visitor, session: str | None, story: StoryRow | None, seq: int
    ) -> AsyncGenerator[ServerSentEvent]:
        clock = asyncio.get_running_loop().time
        topics = [CHANGED] if session is None else [CHANGED, session]
        version, checked = 0, clock()
        with ExitStack() as stack:
            stack.enter_context(self._board.watched())
            bell = stack.enter_context(self._desk.bells.listening(*topics))
            if session is not None:
                stack.enter_context(self._desk.feed.reading(session))
            while not self._stopping:
                if clock() - checked > CHECK_SECONDS:
                    await self._visitors.check(visitor)
                    checked = clock()
                if self._board.version != version:
                    version = self._board.version
                    yield _overview(self._board)
                if session is not None and story is not None:
                    batch = await self._desk.feed.after(session, story, seq)
                    if batch:
                        seq = batch[-1].seq
                        yield _lines(batch)
                        continue
                await bell.wait()


def _overview(board: Board) -> ServerSentEvent:
    if board.error is not None:
        raise board.error
    return ServerSentEvent(board.text(), event="overview")


def _lines(batch: Sequence[EventRow]) -> ServerSentEvent:
    data = to_json([line(event) for event in batch]).decode()
    return ServerSentEvent(data, event="lines", id=str(batch[-1].seq))


def _beat() -> ServerSentEvent:
    """An event and not a comment: the page notices when it does not come."""
    return ServerSentEvent(str(now()), event="beat")
