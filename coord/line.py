"""A connection to the hub that is kept up: resumed over a new wire, or begun anew."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Final

from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential
from websockets.asyncio.client import ClientConnection

from protocol.aio.dial import Address, connected
from protocol.aio.greeting import greet
from protocol.aio.node import Node
from protocol.aio.wire import WebsocketWire
from protocol.errors import (
    CallError,
    DeadlineExceeded,
    FailedPrecondition,
    LinkLost,
    ResourceExhausted,
    Unavailable,
)
from protocol.frames import Goaway, Notice
from protocol.handshake import Hello, Resume, Welcome
from protocol.resume import Turn
from protocol.switchboard import LinkId

logger = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 30.0  #: for which a lost hub is dialled again before calls fail
FULL_JITTER: Final = wait_random_exponential(multiplier=0.1, max=10)  #: seconds
STEADY_SECONDS: Final = 60.0  #: a link that was up this long was lost for a reason of its own


class Line:
    """``link`` is where calls go now, None while there is none. ``welcome`` is the last one.

    A connection that lost its wire is resumed, and nothing of it is lost. Where the hub does not
    know it any more, or said goodbye, another connection takes its place.
    """

    def __init__(self, hubs: Sequence[Address], token: str, hello: Hello, patience: float) -> None:
        self.node = Node(listener=self._hear)
        self.link: LinkId | None = None
        self._hubs = deque(hubs)  # of the same database; the first one is dialled first
        self._token = token
        self._hello = hello
        self._patience = patience
        self._welcome: Welcome | None = None
        self._failed: CallError | None = None
        self._changed = asyncio.Event()  # a link is there, or none will be
        self._open: dict[LinkId, int] = {}  # links, and how many calls are open on each
        self._wires: dict[LinkId, WebsocketWire] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._dialled = 0  # times in a row without a steady link
        self._numbers = 0

    @property
    def welcome(self) -> Welcome:
        if self._welcome is None:
            raise RuntimeError("not connected yet")
        return self._welcome

    @property
    def url(self) -> str:
        return str(self._hubs[0])

    async def begin(self) -> None:
        """Raises what dialling and the greeting raise: the first time nothing is tried again."""
        wire, welcome = await self._dial(None)
        self._do(self._live(wire, welcome))
        await self.ready(None)

    async def close(self) -> None:
        """Say goodbye. Calls in flight end with LinkLost."""
        self._fail(LinkLost("LINK_LOST", "the link was closed"))
        for wire in self._wires.values():
            await wire.close(1000, "done")
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for link in list(self._open):
            self._lose(link)

    async def ready(self, deadline: float | None) -> LinkId:
        """The link to place a call on, as soon as there is one. ``deadline``: loop time.

        Raises what made us give up (LinkLost, Unauthenticated ...), and DeadlineExceeded.
        """
        try:
            async with asyncio.timeout_at(deadline):
                while self.link is None:
                    if self._failed is not None:
                        raise self._failed
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "no hub was reached in time") from None
        return self.link

    def enter(self, link: LinkId) -> None:
        """One more call is open on a link."""
        self._open[link] = self._open.get(link, 0) + 1

    def leave(self, link: LinkId) -> None:
        """It is over. A link that the hub said goodbye on is closed with its last call."""
        if link in self._open:
            self._open[link] -= 1
            self._close_if_done(link)

    # One connection.

    async def _live(self, wire: WebsocketWire, welcome: Welcome) -> None:
        """Serve connections, one after the other, until there are no more to be had."""
        link, turn = self._begin(wire, welcome), None
        try:
            while True:
                await self._serve(link, wire, turn, welcome.heard)
                if self.link != link:  # the hub said goodbye, and another connection is on its way
                    return
                self.link = None
                turn, resume = self._may_resume(link, wire, welcome)
                if resume is None:
                    self._lose(link)
                wire, welcome = await self._dial_again(resume)
                if welcome.resumed:
                    self._take(link, wire, welcome)
                else:
                    self._lose(link)
                    link, turn = self._begin(wire, welcome), None
        except CallError as error:
            self._fail(error)
        finally:
            self._lose(link)

    async def _serve(
        self, link: LinkId, wire: WebsocketWire, turn: Turn | None, heard: int
    ) -> None:
        loop = asyncio.get_running_loop()
        since = loop.time()
        await self.node.lines.serve(link, wire, turn=turn, heard=heard)
        if loop.time() - since > STEADY_SECONDS:
            self._dialled = 0

    def _may_resume(
        self, link: LinkId, wire: WebsocketWire, welcome: Welcome
    ) -> tuple[Turn | None, Resume | None]:
        """Whose turn is next, and what is said to go on; wires up to now are heard no more."""
        if welcome.resume_token is None or wire.parted():
            return None, None
        turn, heard = self.node.lines.fence(link)
        token = welcome.resume_token
        return turn, Resume(connection_id=welcome.connection_id, token=token, heard=heard)

    def _begin(self, wire: WebsocketWire, welcome: Welcome) -> LinkId:
        self._numbers += 1
        link = LinkId(f"hub {self._numbers}")
        self.node.lines.open(link)
        if welcome.resume_token is not None:
            self.node.lines.keep(link)
        self._open[link] = 0
        self._take(link, wire, welcome)
        return link

    def _take(self, link: LinkId, wire: WebsocketWire, welcome: Welcome) -> None:
        self._wires[link] = wire
        self._welcome = welcome
        self.link = link
        self._changed.set()

    def _lose(self, link: LinkId) -> None:
        """Nothing brings this connection back: what was open on it fails, or is asked again."""
        if self._open.pop(link, None) is not None:
            self._wires.pop(link, None)
            gone = "the link went before the answer came, and was not taken up again"
            self.node.lose(link, LinkLost("RESUME_EXPIRED", gone))

    def _fail(self, error: CallError) -> None:
        self.link = None
        self._failed = error
        self._changed.set()

    # Dialling.

    async def _dial(self, resume: Resume | None) -> tuple[WebsocketWire, Welcome]:
        """A wire on which we are welcome: to go on with a connection, or with a new one."""
        websocket = await self._first_that_is_there()
        wire = WebsocketWire(websocket)
        try:
            return wire, await self._greet(wire, resume)
        except BaseException:
            websocket.transport.abort()
            raise

    async def _first_that_is_there(self) -> ClientConnection:
        """Raises what the last hub answered, when none is there."""
        for _ in range(len(self._hubs) - 1):
            try:
                return await connected(self._hubs[0], f"Bearer {self._token}")
            except Unavailable:
                self._hubs.rotate(-1)
        return await connected(self._hubs[0], f"Bearer {self._token}")

    async def _greet(self, wire: WebsocketWire, resume: Resume | None) -> Welcome:
        if resume is not None:
            try:
                return await greet(wire, self._hello.model_copy(update={"resume": resume}))
            except FailedPrecondition as expired:
                if expired.reason != "RESUME_EXPIRED":
                    raise
        return await greet(wire, self._hello)

    async def _dial_again(self, resume: Resume | None) -> tuple[WebsocketWire, Welcome]:
        """Raises LinkLost when patience is at its end, and at once what no patience helps."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        while True:
            self._dialled += 1
            if self._dialled > 1:
                await asyncio.sleep(_pause(self._dialled))
            try:
                return await self._dial(resume)
            except (Unavailable, ResourceExhausted, DeadlineExceeded) as error:
                logger.info("no link to the hub: %s", error)
                if loop.time() >= until:
                    raise LinkLost("LINK_LOST", error.message, advice=error.advice) from error

    # Goodbyes.

    def _hear(self, link: LinkId, frame: Notice | Goaway) -> None:
        if isinstance(frame, Goaway) and link == self.link:
            self.link = None
            self._hubs.rotate(-1)
            self._do(self._succeed(frame.reconnect_after_ms / 1_000))
            self._close_if_done(link)

    async def _succeed(self, within: float) -> None:
        """The connection that takes the place of one that the hub says goodbye on."""
        await asyncio.sleep(random.uniform(0, within))  # noqa: S311 - spreads load, hides nothing
        try:
            wire, welcome = await self._dial_again(None)
        except CallError as error:
            self._fail(error)
        else:
            await self._live(wire, welcome)

    def _close_if_done(self, link: LinkId) -> None:
        if self.link != link and self._open.get(link) == 0 and self._failed is None:
            wire = self._wires.get(link)
            if wire is not None:
                self._do(wire.close(1000, "done"))

    def _do(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work, name="line")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _pause(attempt: int) -> float:
    """Full jitter, in seconds: between nothing and twice as much each time."""
    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = attempt
    return FULL_JITTER(state)
