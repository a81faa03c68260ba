"""One process on the network: a switchboard with real links and real handlers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, assert_never, cast

from pydantic import JsonValue

from protocol.aio.link import Link
from protocol.aio.wire import Wire
from protocol.codec import Object
from protocol.errors import (
    CallError,
    Cancelled,
    DeadlineExceeded,
    Internal,
    LinkLost,
    ProtocolViolation,
)
from protocol.frames import (
    Call,
    CallId,
    Fault,
    Frame,
    Goaway,
    Item,
    Notice,
    Outcome,
    Reply,
    id_of,
    read,
    unknown_method,
)
from protocol.ids import call_ids
from protocol.limits import CLOSE_BAD_DATA, STALLED_SECONDS
from protocol.switchboard import (
    Accuse,
    Answer,
    Deliver,
    Effect,
    Hear,
    LinkId,
    Resume,
    Run,
    Send,
    Stop,
    Switchboard,
)

logger = logging.getLogger(__name__)

STREAM_CREDIT = 64  # items in flight; a window of 64 keeps 88 % of unlimited throughput
ABORT_PATIENCE = 60.0  # seconds a caller who gave up still waits for the confirmed answer
FAIRNESS = 64  # frames of one link handled before the others get their turn,
FRAME_WEIGHT = 16_384  # where so many characters count as one more

Handler = Callable[["Context"], Awaitable[object]]
Listener = Callable[[LinkId, Notice | Goaway], None]


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler knows of the call it is running."""

    node: Node
    call: Call
    link: LinkId

    async def ask(
        self, link: LinkId, op: str, params: Object, *, within: float | None = None
    ) -> JsonValue:
        """Place a call on behalf of this one; an abort of this one aborts it too."""
        return await self.node.ask(link, op, params, within=within, parent=self.call.id)

    async def emit(self, value: object) -> None:
        """Send one item of a stream; waits while the reader takes no more."""
        await self.node.emit(self.call.id, self.link, value)


@dataclass(slots=True)
class _Running:
    task: asyncio.Task[object]
    deadline: float | None = None  # loop time
    timer: asyncio.TimerHandle | None = None
    why: CallError | None = None
    room: asyncio.Event = field(default_factory=asyncio.Event)  # set when more is granted


class Node:
    """``detaches`` says of an operation whether its work goes on when the caller is lost."""

    def __init__(
        self,
        handlers: Mapping[str, Handler] | None = None,
        *,
        detaches: Callable[[str], bool] = lambda _: False,
        listener: Listener | None = None,
    ) -> None:
        self._board = Switchboard()
        self._handlers = dict(handlers or {})
        self._detaches = detaches
        self._listener = listener
        self._links: dict[LinkId, Link] = {}
        self._running: dict[CallId, _Running] = {}
        self._answers: dict[CallId, asyncio.Future[Outcome]] = {}
        self._readers: dict[CallId, Callable[[object], None]] = {}
        self._ids = call_ids()

    # Links.

    async def attach(self, id: LinkId, wire: Wire) -> None:
        """Serve a link until it ends; what was in flight on it is settled before this returns."""
        link = self._links[id] = Link(wire)
        writer = asyncio.create_task(link.write(), name=f"write {id}")
        watch = asyncio.create_task(_watch(link, wire), name=f"watch {id}")
        try:
            await self._read(id, link, wire)
        except ProtocolViolation as violation:
            logger.warning("link %s closed: %s", id, violation)
            await wire.close(violation.close_code, str(violation))
        finally:
            for task in (writer, watch):
                task.cancel()
            del self._links[id]
            link.end()
            self._carry_out(self._board.lose(id))
            await asyncio.wait([writer, watch])

    def attached(self, id: LinkId) -> bool:
        return id in self._links

    def in_flight(self) -> frozenset[CallId]:
        return self._board.in_flight()

    def say(self, link: LinkId, frame: Notice | Goaway) -> None:
        """Say something that is not answered. Nothing happens when the link is gone.

        Raises CallError when it cannot be written.
        """
        if link in self._links and (refused := self._links[link].put(frame)) is not None:
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
        parent: CallId | None = None,
    ) -> JsonValue:
        """Place a call and wait for its answer. Cancelling the wait aborts the call.

        ``within`` is in seconds; a call on behalf of another never outlives what remains of that.
        Raises the CallError it was answered with; LinkLost when the link is not there.
        """
        call = self._new_call(op, params, within, detach, parent)
        return await self._outcome(link, call, parent)

    async def stream(
        self,
        link: LinkId,
        op: str,
        params: Object | None = None,
        *,
        credit: int = STREAM_CREDIT,
        on_end: Callable[[JsonValue], None] = lambda _: None,
    ) -> AsyncGenerator[JsonValue]:
        """The items of a stream, in order; ``on_end`` is given its final answer.

        Leaving early aborts the call. Raises the CallError that ended it.
        """
        call = self._new_call(op, params, None, None, None, credit)
        items: asyncio.Queue[object] = asyncio.Queue()
        self._readers[call.id] = items.put_nowait
        ending = asyncio.create_task(self._outcome(link, call, None), name=f"{op} {call.id}")
        ending.add_done_callback(lambda _: items.put_nowait(_END))
        taken = 0
        try:
            while (item := await items.get()) is not _END:
                yield cast("JsonValue", item)
                taken += 1
                if taken * 2 >= credit:
                    self._carry_out(self._board.grant(call.id, taken))
                    taken = 0
            on_end(await ending)
        finally:
            del self._readers[call.id]
            ending.cancel()
            await asyncio.wait([ending])  # a second cancel shall end this wait, and be felt
            if ending.done() and not ending.cancelled():
                ending.exception()

    def abort(self, id: CallId, why: CallError) -> None:
        """Abort a call and all below it, whoever placed it."""
        self._carry_out(self._board.abort(id, why))

    async def wait_answered(self, link: LinkId, ids: Sequence[CallId]) -> None:
        """Return when these calls, which a link asked for, are answered and that is written."""
        tasks = [self._running[id].task for id in ids if id in self._running]
        if tasks:
            await asyncio.wait(tasks)
        if link in self._links:
            await self._links[link].wait_written()

    async def emit(self, id: CallId, link: LinkId, value: object) -> None:
        """Send one item of a stream that a handler here runs; waits while it is not taken."""
        if link in self._links:
            await self._links[link].wait_below_high_water()
        while not self._board.may_emit(id):  # nothing is awaited between this and the emit
            room = self._running[id].room
            room.clear()
            await room.wait()
        self._carry_out(self._board.emit(id, value))

    def _new_call(
        self,
        op: str,
        params: Object | None,
        timeout: float | None,
        detach: bool | None,
        parent: CallId | None,
        credit: int | None = None,
    ) -> Call:
        if parent is not None and parent in self._running:
            timeout = self._remaining(parent, timeout)
        milliseconds = None if timeout is None else max(1, round(timeout * 1_000))
        # A far side that guessed our next id may have used it: it shall not get in our way.
        id = next(id for id in self._ids if not self._board.holds(id))
        return Call(id, op, params or {}, milliseconds, detach, credit)

    def _remaining(self, parent: CallId, timeout: float | None) -> float | None:
        deadline = self._running[parent].deadline
        if deadline is None:
            return timeout
        left = deadline - asyncio.get_running_loop().time()
        return left if timeout is None else min(timeout, left)

    async def _outcome(self, link: LinkId, call: Call, parent: CallId | None) -> JsonValue:
        if link not in self._links:
            raise LinkLost("LINK_LOST", f"no link to {link}")
        answer = self._answers[call.id] = asyncio.get_running_loop().create_future()
        self._carry_out(self._board.place(call, on=link, parent=parent))
        try:
            outcome = await asyncio.shield(answer)
        except asyncio.CancelledError:
            self.abort(call.id, Cancelled("CALLER_GAVE_UP", "the caller gave up"))
            await asyncio.wait([answer], timeout=ABORT_PATIENCE)
            raise
        finally:
            del self._answers[call.id]
        if isinstance(outcome, Fault):
            raise outcome.error
        return cast("JsonValue", outcome.result)

    # Reading, and carrying out.

    async def _read(self, id: LinkId, link: Link, wire: Wire) -> None:
        turn = 0
        async for message in wire.messages():
            if isinstance(message, bytes):
                raise ProtocolViolation(CLOSE_BAD_DATA, "frames are text")
            try:
                frame = read(message)
            except CallError as error:
                link.junk()
                self._refuse(id, link, message, error)
            else:
                self._take(id, link, frame)
            turn += 1 + len(message) // FRAME_WEIGHT
            if turn >= FAIRNESS:
                turn = 0
                await asyncio.sleep(0)

    def _take(self, id: LinkId, link: Link, frame: Frame) -> None:
        if isinstance(frame, Call):
            link.check_taken()
            link.earn()
            frame = self._declared(frame)
        elif not isinstance(frame, Reply | Item):
            link.junk()
        self._carry_out(self._board.receive(id, frame))

    def _refuse(self, id: LinkId, link: Link, message: str, error: CallError) -> None:
        """A frame could not be read. If it was the answer to a call of ours, that call fails."""
        named = id_of(message)
        if named in self._answers:
            unread = Internal("UNREADABLE", f"the answer could not be read: {error}")
            self._carry_out(self._board.receive(id, Fault(named, unread)))
        elif named is not None and self._board.holds(named):
            link.put(Fault(None, error))  # under its id it would answer the call in flight
        else:
            link.put(Fault(named, error))

    def _declared(self, call: Call) -> Call:
        """The call, with what losing its caller means filled in from the operation."""
        if call.detach is None and self._detaches(call.op):
            return replace(call, detach=True)
        return call

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(to, frame):
                    self._put(to, frame)
                case Run(link, call):
                    self._start(Context(self, call, link))
                case Stop(id, why):
                    self._stop(id, why)
                case Answer(id, outcome):
                    answer = self._answers.get(id)
                    if answer is not None and not answer.done():  # None: gave up waiting twice
                        answer.set_result(outcome)
                case Deliver() | Resume() | Hear() | Accuse():
                    self._pass_on(effect)
                case _:
                    assert_never(effect)

    def _pass_on(self, effect: Deliver | Resume | Hear | Accuse) -> None:
        match effect:
            case Deliver(id, value):
                if id in self._readers:
                    self._readers[id](value)
            case Resume(id):
                if id in self._running:
                    self._running[id].room.set()
            case Hear(link, frame):
                if self._listener is not None:
                    self._listener(link, frame)
            case Accuse(link, what):
                logger.warning("link %s broke a rule: %s", link, what)
                self._links[link].accuse()
            case _:
                assert_never(effect)

    def _put(self, to: LinkId, frame: Frame) -> None:
        if to not in self._links:
            return
        refused = self._links[to].put(frame)
        if isinstance(frame, Item):
            self._links[to].earn()
        if refused is not None and isinstance(frame, Call):
            self._carry_out(self._board.receive(to, Fault(frame.id, refused)))
        elif refused is not None and isinstance(frame, Item):
            self.abort(frame.id, refused)

    def _start(self, context: Context) -> None:
        call = context.call
        handler = self._handlers.get(call.op, _unknown)
        task = asyncio.create_task(_handle(handler, context), name=f"{call.op} {call.id}")
        running = self._running[call.id] = _Running(task)
        if call.timeout_ms is not None:
            loop = asyncio.get_running_loop()
            running.deadline = loop.time() + call.timeout_ms / 1_000
            running.timer = loop.call_at(running.deadline, self._expire, call)
        # Settle from the callback, not from the coroutine: a task that is cancelled before its
        # first step never runs, and its call must be answered all the same (CPython #98275).
        task.add_done_callback(lambda task: self._finished(call, task))

    def _expire(self, call: Call) -> None:
        late = f"{call.op} was not done within {call.timeout_ms} ms"
        self.abort(call.id, DeadlineExceeded("DEADLINE_EXCEEDED", late))

    def _stop(self, id: CallId, why: CallError) -> None:
        running = self._running[id]
        running.why = why
        running.task.cancel(why.message)

    def _finished(self, call: Call, task: asyncio.Task[object]) -> None:
        running = self._running.pop(call.id)
        if running.timer is not None:
            running.timer.cancel()
        self._carry_out(self._board.settle(_outcome_of(call, task, running.why)))


async def _handle(handler: Handler, context: Context) -> object:
    return await handler(context)


async def _unknown(context: Context) -> object:
    raise unknown_method(context.call.op)


class _End:
    """What a stream's queue ends with."""


_END: Final = _End()


def _outcome_of(call: Call, task: asyncio.Task[object], why: CallError | None) -> Outcome:
    if task.cancelled():
        return Fault(call.id, why or Cancelled("ABORTED", "the call was aborted"))
    error = task.exception()
    if error is None:
        return Reply(call.id, task.result())
    if isinstance(error, CallError):
        return Fault(call.id, error)
    logger.error("%s %s crashed", call.op, call.id, exc_info=error)
    return Fault(
        call.id,
        Internal("CRASHED", f"{call.op} failed unexpectedly", advice="the hub's log has the story"),
    )


async def _watch(link: Link, wire: Wire) -> None:
    """Cut a link whose far side takes no data: a ping would wait behind that same data."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(STALLED_SECONDS / 6)
        since = link.writing_since
        if since is not None and loop.time() - since > STALLED_SECONDS:
            logger.warning("a peer took no data for %.0f s: cut", STALLED_SECONDS)
            wire.cut()
