"""One link to the hub, from the handshake to its end: orders down, records and heartbeats up."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from pydantic import BaseModel, JsonValue, ValidationError
from websockets.asyncio.client import ClientConnection

from protocol.aio.dial import Address
from protocol.aio.node import Context, Handler, Node
from protocol.aio.wire import WebsocketWire
from protocol.codec import Object
from protocol.errors import FailedPrecondition, Internal, InvalidArgument, LinkLost
from protocol.frames import Goaway, Notice
from protocol.handshake import INITIALIZE, Hello, SpokeHello, Welcome
from protocol.limits import INITIALIZE_SECONDS, PROTOCOL_VERSION
from protocol.ops.catalogue import (
    HEARD,
    HEARTBEAT,
    LIVE,
    SESSION_APPEND,
    SESSION_SAVED,
    SPOKE_ORDERS,
    SPOKE_SURVEY,
    WORKTREE_INSPECT,
    WORKTREE_REMOVE,
    WORKTREE_RESTORE,
    WORKTREE_TRASH,
)
from protocol.ops.wire import (
    Appended,
    GiveBackParams,
    GivenBack,
    HeardParams,
    HeartbeatParams,
    Inspected,
    InspectParams,
    OrdersParams,
    OrdersTaken,
    Removed,
    RemoveParams,
    Saved,
    SavedTaken,
    Survey,
    Trash,
)
from protocol.switchboard import LinkId
from spoke import survey, worktree_ops
from spoke.attempts import Attempts
from spoke.contact import Contact
from spoke.flight import in_thread
from spoke.journal import Key
from spoke.pulse import Pulse, Spoken
from spoke.reports import Reports
from spoke.uplink import Uplink
from spoke.worktrees import Worktrees

_log = logging.getLogger(__name__)

HUB: Final = LinkId("hub")
APPEND_SECONDS: Final = 60.0
_JITTER: Final = 0.1

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a link serves."""

    attempts: Attempts
    worktrees: Worktrees
    uplink: Uplink
    reports: Reports
    contact: Contact
    pulse: Pulse


class Connection:
    """``parted`` holds, once the hub said goodbye, after how many seconds to come back.

    ``learn`` is told which other hubs there are.
    """

    def __init__(
        self,
        websocket: ClientConnection,
        exchange: Exchange,
        learn: Callable[[Sequence[str]], None],
    ) -> None:
        self._learn = learn
        self.parted: float | None = None
        self._websocket = websocket
        self._exchange = exchange
        self._welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
        handlers: Mapping[str, Handler] = {
            SPOKE_ORDERS.name: self._orders,
            WORKTREE_INSPECT.name: self._inspect,
            WORKTREE_REMOVE.name: self._remove,
            WORKTREE_TRASH.name: self._trash,
            WORKTREE_RESTORE.name: self._give_back,
            SPOKE_SURVEY.name: self._survey,
        }
        self._node = Node(handlers, detaches=_detaches, listener=self._hear)

    async def serve(self, hello: SpokeHello, name: str, version: str, to: Address) -> None:
        """Until the link ends. ``to``: where it leads.

        Raises CallError when the hub does not welcome us.
        """
        wire = WebsocketWire(self._websocket)
        serving = asyncio.create_task(self._node.attach(HUB, wire), name="link")
        beating = asyncio.create_task(self._beat(), name="heartbeat")
        try:
            await asyncio.sleep(0)  # the link exists once its task has taken its first step
            welcome = await self._shake_hands(hello, name, version)
            self._exchange.attempts.heed(welcome.verdicts)
            self._exchange.uplink.connect(self)
            self._welcome.set_result(welcome)
            self._exchange.reports.connect(self)
            self._learn(welcome.hubs)
            every = welcome.heartbeat_ms / 1_000
            self._exchange.pulse.speak_for(Spoken(to, self._epoch, every))
            _log.info("the hub %s welcomed us, epoch %d", welcome.hub_id, welcome.epoch)
            await asyncio.shield(serving)
        finally:
            self._exchange.uplink.disconnect(self)
            self._exchange.reports.disconnect(self)
            self._exchange.pulse.speak_for(None)
            self._welcome.cancel()
            beating.cancel()
            await self._websocket.close()
            await asyncio.wait([serving, beating])

    # What the uplink does with it.

    async def append(self, key: Key, first: int, records: Sequence[list[JsonValue]]) -> Appended:
        params: Object = {
            "epoch": self._epoch,
            "sessionId": key.session_id,
            "attempt": key.attempt,
            "first": first,
            "records": cast("JsonValue", list(records)),
        }
        answer = await self._node.ask(HUB, SESSION_APPEND.name, params, within=APPEND_SECONDS)
        return _read_answer(Appended, answer)

    async def saved(self, report: Saved) -> None:
        known = report.model_copy(update={"epoch": self._epoch})
        said = cast("Object", known.model_dump(mode="json", by_alias=True))
        answer = await self._node.ask(HUB, SESSION_SAVED.name, said, within=APPEND_SECONDS)
        if _read_answer(SavedTaken, answer).verdict == "stale_epoch":
            raise LinkLost("STALE_EPOCH", "another connection of this spoke is the current one")

    def drop(self) -> None:
        self._websocket.transport.abort()

    # What the hub asks.

    async def _orders(self, context: Context) -> OrdersTaken:
        asked = _read(OrdersParams, context)
        await asyncio.shield(self._welcome)  # the hub may be quicker than our own next step
        if asked.epoch != self._epoch:
            raise FailedPrecondition("STALE_EPOCH", f"this link has the epoch {self._epoch}")
        return await self._exchange.attempts.take(asked.orders)

    async def _inspect(self, context: Context) -> Inspected:
        asked = _read(InspectParams, context)
        return await worktree_ops.inspect(self._exchange.worktrees, asked)

    async def _remove(self, context: Context) -> Removed:
        asked = _read(RemoveParams, context)
        exchange = self._exchange
        return await worktree_ops.remove(exchange.worktrees, exchange.attempts, asked)

    async def _trash(self, _: Context) -> Trash:
        return await in_thread(worktree_ops.trash, self._exchange.worktrees)

    async def _give_back(self, context: Context) -> GivenBack:
        asked = _read(GiveBackParams, context)
        exchange = self._exchange
        return await worktree_ops.give_back(exchange.worktrees, exchange.attempts, asked)

    async def _survey(self, _: Context) -> Survey:
        return await survey.survey(self._exchange.worktrees, self._exchange.attempts)

    def _hear(self, link: LinkId, frame: Notice | Goaway) -> None:
        if isinstance(frame, Notice):
            self._be_confirmed(frame)
        else:
            _log.info("the hub is going away: %s", frame.reason)
            self.parted = frame.reconnect_after_ms / 1_000
            self.drop()

    def _be_confirmed(self, notice: Notice) -> None:
        if notice.op != HEARD or not self._welcome.done():
            return
        with suppress(ValidationError):
            heard = HeardParams.model_validate(notice.params)
            if heard.epoch == self._epoch:
                self._exchange.contact.confirmed(heard.n)

    # Our own words.

    @property
    def _epoch(self) -> int:
        return self._welcome.result().epoch or 0

    async def _shake_hands(self, spoke: SpokeHello, name: str, version: str) -> Welcome:
        hello = Hello(
            protocol_version=PROTOCOL_VERSION, role="spoke", name=name, version=version, spoke=spoke
        )
        said = cast("Object", hello.model_dump(mode="json", by_alias=True, exclude_none=True))
        number = self._exchange.contact.saying()
        answer = await self._node.ask(HUB, INITIALIZE, said, within=INITIALIZE_SECONDS)
        self._exchange.contact.confirmed(number)
        return _read_answer(Welcome, answer)

    async def _beat(self) -> None:
        welcome = await asyncio.shield(self._welcome)
        every = welcome.heartbeat_ms / 1_000
        while True:
            attempts, contact = self._exchange.attempts, self._exchange.contact
            beat = HeartbeatParams(
                epoch=self._epoch,
                live=attempts.live,
                n=contact.saying() if attempts.is_fenced else None,
                load=list(os.getloadavg()),
            )
            said = cast("Object", beat.model_dump(mode="json", by_alias=True, exclude_none=True))
            self._node.say(HUB, Notice(HEARTBEAT, said))
            await asyncio.sleep(every * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - spreads load, hides nothing


def _detaches(op: str) -> bool:
    return op in LIVE and LIVE[op].detached


def _read(shape: type[M], context: Context) -> M:
    try:
        return shape.model_validate(context.call.params)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)[:5]
        raise InvalidArgument("BAD_PARAMS", f"{context.call.op}: {faults}") from None


def _read_answer(shape: type[M], answer: JsonValue) -> M:
    try:
        return shape.model_validate(answer)
    except ValidationError as error:
        raise Internal(
            "BAD_ANSWER",
            f"the hub's answer is no {shape.__name__}",
            advice="compare `coordctl version` on both sides",
        ) from error
