"""One process on the network: a switchboard with real links and real handlers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from pydantic import JsonValue

from protocol.aio.hearing import Hearing
from protocol.aio.lines import Lines
from protocol.aio.link import Link
from protocol.aio.placed import Placed
from protocol.aio.running import Running
from protocol.aio.streams import STREAM_CREDIT, items
from protocol.aio.wire import Wire
from protocol.codec import Object
from protocol.errors import CallError, LinkLost
from protocol.frames import (
    Call,
    CallId,
    Fault,
    Frame,
    Goaway,
    Item,
    Mode,
    Notice,
    unknown_method,
)
from protocol.ids import call_ids
from protocol.switchboard import (
    Accuse,
    Answer,
    Deliver,
    Effect,
    GoOn,
    Hear,
    LinkId,
    Run,
    Send,
    Stop,
    Switchboard,
)

logger = logging.getLogger(__name__)

Handler = Callable[["Context"], Awaitable[object]]
Listener = Callable[[LinkId, Notice | Goaway], None]


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler knows of the call it is running."""

    node: Node
    call: Call
    link: LinkId

    async def ask(
        self,
        link: LinkId,
        op: str,
        params: Object,
        *,
        within: float | None = None,
        continue_running: bool = False,
    ) -> JsonValue:
        """Place a call on behalf of this one; an abort of this one aborts it too.

        One that is to ``continue_running`` goes on when this one has ended, however it ended.
        """
        return await self.node.ask(
            link, op, params, within=within, parent=self.call.id, continues=continue_running
        )

    async def emit(self, value: object) -> None:
        """Send one item of a stream; waits while the reader takes no more."""
        await self.node.emit(self.call.id, self.link, value)

    def then(self, do: Callable[[], None]) -> None:
        """Do this as soon as this call is answered with a result, and before anything else."""
        self.node.then(self.call.id, do)


class Node:
    """``detaches`` says of an operation whether its work goes on when the caller is lost.

    ``lines`` are its links: opened, carried by a wire or one after the other, and lost.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler] | None = None,
        *,
        detaches: Callable[[str], bool] = lambda _: False,
        listener: Listener | None = None,
    ) -> None:
        self._board = Switchboard()
        self._handlers = dict(handlers or {})
        self._listener = listener
        self._ids = call_ids()
        self._placed = Placed(self.abort)
        self._running = Running(self.abort, lambda said: self._carry_out(self._board.settle(said)))
        hearing = Hearing(self._board, self._placed, detaches, self._carry_out)
        self.lines = Lines(hearing.take)

    # Links.

    async def attach(self, id: LinkId, wire: Wire) -> None:
        """Serve a link that lives as long as its wire.

        What was in flight on it is settled before this returns.
        """
        self.lines.open(id)
        try:
            await self.lines.serve(id, wire)
        finally:
            self.lose(id)

    def lose(self, id: LinkId, why: LinkLost | None = None) -> None:
        """The link is gone, with what it carried: settle what was in flight on it."""
        self.lines.close(id)
        self._carry_out(self._board.lose(id, why))

    def attached(self, id: LinkId) -> bool:
        return id in self.lines

    def in_flight(self) -> frozenset[CallId]:
        return self._board.in_flight()

    def say(self, link: LinkId, frame: Notice | Goaway) -> None:
        """Say something that is not answered. Nothing happens when the link is gone.

        Raises CallError when it cannot be written.
        """
        there = self.lines.find(link)
        if there is not None and (refused := self._queue(there, frame)) is not None:
            raise refused

    # Calls that this process places.

    async def ask(
        self,
        link: LinkId,
        op: str,
        params: Object | None = None,
        *,
        within: float | None = None,
        detach: bool | None = None,
        key: str | None = None,
        parent: CallId | None = None,
        continues: bool = False,
    ) -> JsonValue:
        """Place a call and wait for its answer. Cancelling the wait aborts the call.

        ``within`` is in seconds; a call on behalf of another never outlives what remains of that,
        unless it ``continues``. ``key``: an idempotency key.
        Raises the CallError it was answered with; LinkLost when the link is not there.
        """
        if parent is not None and not continues:
            within = self._running.remaining(parent, within)
        call = self._new_call(op, params, within)
        if continues or detach is not None or key is not None:
            call = replace(call, detach=continues or detach, key=key)
        place = self._placing(link, call, parent, continues)
        return await self._placed.outcome(call, place, continues=continues)

    def stream(
        self,
        link: LinkId,
        op: str,
        params: Object | None = None,
        *,
        credit: int = STREAM_CREDIT,
        idle: float | None = None,
        on_end: Callable[[JsonValue], None] = lambda _: None,
    ) -> AsyncGenerator[JsonValue]:
        """The items of a stream, in order; ``on_end`` is given its final answer.

        ``idle``: seconds without an item after which it is over (DeadlineExceeded, IDLE).
        Leaving early aborts the call. Raises the CallError that ended it.
        """
        idle_ms = None if idle is None else _milliseconds(idle)
        call = replace(self._new_call(op, params, None), credit=credit, idle_ms=idle_ms)

        async def outcome() -> JsonValue:
            return await self._placed.outcome(call, self._placing(link, call), continues=False)

        return items(
            call,
            self._placed,
            outcome,
            lambda taken: self._carry_out(self._board.grant(call.id, taken)),
            on_end,
        )

    def abort(self, id: CallId, why: CallError, mode: Mode = Mode.KILL) -> None:
        """Abort a call and all below it, whoever placed it."""
        self._carry_out(self._board.abort(id, why, mode))

    def _new_call(self, op: str, params: Object | None, within: float | None) -> Call:
        # A far side that guessed our next id may have used it: it shall not get in our way.
        id = next(self._ids)
        while self._board.holds(id):
            id = next(self._ids)
        return Call(id, op, params or {}, None if within is None else _milliseconds(within))

    def _placing(
        self, link: LinkId, call: Call, parent: CallId | None = None, continues: bool = False
    ) -> Callable[[], None]:
        """Raises LinkLost when the link is not there."""
        if link not in self.lines:
            raise LinkLost("LINK_LOST", f"no link to {link}")
        return lambda: self._carry_out(
            self._board.place(call, on=link, parent=parent, continues=continues)
        )

    # Calls that it runs.

    async def emit(self, id: CallId, link: LinkId, value: object) -> None:
        """Send one item of a stream that a handler here runs; waits while it is not taken."""
        if link in self.lines:
            await self.lines[link].wait_below_high_water()
        await self._running.wait_room(id, self._board.may_emit)
        self._carry_out(self._board.emit(id, value))

    def then(self, id: CallId, do: Callable[[], None]) -> None:
        """Do this as soon as a call is answered with a result."""
        self._running.then(id, do)

    async def wait_answered(self, link: LinkId, ids: Sequence[CallId]) -> None:
        """Return when these calls, which a link asked for, are answered and that is written."""
        await self._running.wait_ended(ids)
        if link in self.lines:
            await self.lines[link].wait_written()

    # Carrying out.

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:  # most frequent first; to take their fields here takes much longer
                case Send():
                    self._put(effect.link, effect.frame)
                case Run():
                    call = effect.call
                    handler = self._handlers.get(call.op, _unknown)
                    self._running.start(call, handler, Context(self, call, effect.link))
                case Answer():
                    self._placed.answer(effect.outcome)
                case Stop():
                    self._running.stop(effect.id, effect.why)
                case Deliver() | GoOn() | Hear() | Accuse():
                    self._pass_on(effect)
                case _:
                    assert_never(effect)

    def _pass_on(self, effect: Deliver | GoOn | Hear | Accuse) -> None:
        match effect:
            case Deliver(id, value):
                self._placed.deliver(id, value)
            case GoOn(id):
                self._running.make_room(id)
            case Hear(link, frame):
                if self._listener is not None:
                    self._listener(link, frame)
            case Accuse(link, what):
                logger.warning("link %s broke a rule: %s", link, what)
                self.lines[link].accuse()
            case _:
                assert_never(effect)

    def _put(self, to: LinkId, frame: Frame) -> None:
        link = self.lines.find(to)
        if link is None:
            return
        refused = self._queue(link, frame)
        if isinstance(frame, Item):
            link.earn()
        if refused is None:
            return
        if isinstance(frame, Call):
            self._carry_out(self._board.receive(to, Fault(frame.id, refused)))
        elif isinstance(frame, Item):
            self.abort(frame.id, refused)

    def _queue(self, link: Link, frame: Frame) -> CallError | None:
        refused = link.put(frame)
        if link.overflows and not self.lines.carried(link.id):
            # Nobody takes it, and it grows.
            asyncio.get_running_loop().call_soon(self.lose, link.id)
        return refused


async def _unknown(context: Context) -> object:
    raise unknown_method(context.call.op)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1_000))
