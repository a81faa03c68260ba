"""The calls that this process runs: one task each, their deadlines, and room for their items."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from protocol.errors import CallError, Cancelled, DeadlineExceeded, Internal
from protocol.frames import Call, CallId, Fault, Outcome, Reply

logger = logging.getLogger(__name__)

Abort = Callable[[CallId, CallError], None]
Settle = Callable[[Outcome], None]
C = TypeVar("C")


@dataclass(slots=True)
class _Run:
    call: Call
    task: asyncio.Task[None]
    began: bool = False
    deadline: float | None = None  # loop time
    late: asyncio.TimerHandle | None = None
    idle: asyncio.TimerHandle | None = None
    why: CallError | None = None
    room: asyncio.Event | None = None  # of a stream that waits; set when more is granted
    then: Callable[[], None] | None = None


class Running:
    """``abort`` is told when a time is over, ``settle`` what came of a handler."""

    def __init__(self, abort: Abort, settle: Settle) -> None:
        self._abort = abort
        self._settle = settle
        self._runs: dict[CallId, _Run] = {}

    def start(self, call: Call, handler: Callable[[C], Awaitable[object]], context: C) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._work(call, handler, context))
        run = self._runs[call.id] = _Run(call, task)
        if call.timeout_ms is not None:
            run.deadline = loop.time() + call.timeout_ms / 1_000
            run.late = loop.call_at(run.deadline, self._expire, call)
        if call.idle_ms is not None:
            self._await_item(run)

    def stop(self, id: CallId, why: CallError) -> None:
        run = self._runs[id]
        run.why = why
        if not run.began:
            # A task that is cancelled before its first step never runs, and its call must be
            # answered all the same (CPython #98275).
            run.task.add_done_callback(lambda _: self._finish(run, _aborted(run)))
        run.task.cancel(why.message)

    def then(self, id: CallId, do: Callable[[], None]) -> None:
        """Do this once the call has been answered with what it was asked for."""
        self._runs[id].then = do

    def remaining(self, id: CallId, most: float | None) -> float | None:
        """Seconds that a call may take on behalf of this one, ``most`` at the most; None: any."""
        run = self._runs.get(id)
        if run is None or run.deadline is None:
            return most
        left = run.deadline - asyncio.get_running_loop().time()
        return left if most is None else min(most, left)

    async def wait_ended(self, ids: Iterable[CallId]) -> None:
        tasks = [self._runs[id].task for id in ids if id in self._runs]
        if tasks:
            await asyncio.wait(tasks)

    # Items of streams.

    async def wait_room(self, id: CallId, may_emit: Callable[[CallId], bool]) -> None:
        """Return when one more item may leave; nothing was awaited since that was so.

        A handler that waits for its reader is not idle.
        """
        run = self._runs.get(id)
        if run is None:
            return
        if run.idle is not None:
            run.idle.cancel()
        while not may_emit(id):
            if run.room is None:
                run.room = asyncio.Event()
            run.room.clear()
            await run.room.wait()
        self._await_item(run)

    def make_room(self, id: CallId) -> None:
        run = self._runs.get(id)
        if run is not None and run.room is not None:
            run.room.set()

    def _await_item(self, run: _Run) -> None:
        if run.call.idle_ms is not None:
            loop = asyncio.get_running_loop()
            run.idle = loop.call_later(run.call.idle_ms / 1_000, self._expire_idle, run.call)

    # Ends.

    def _expire(self, call: Call) -> None:
        late = f"{call.op} was not done within {call.timeout_ms} ms"
        self._abort(call.id, DeadlineExceeded("DEADLINE_EXCEEDED", late))

    def _expire_idle(self, call: Call) -> None:
        idle = f"{call.op} had no item for {call.idle_ms} ms"
        self._abort(call.id, DeadlineExceeded("IDLE", idle))

    async def _work(
        self, call: Call, handler: Callable[[C], Awaitable[object]], context: C
    ) -> None:
        """Run the handler, and settle as its task's last act: a callback would come a turn later.

        No outcome has a name here: an error would hold the frame that holds it.
        """
        run = self._runs[call.id]
        run.began = True
        try:
            result = await handler(context)
        except asyncio.CancelledError:
            self._finish(run, _aborted(run))
        except CallError as error:
            self._finish(run, Fault(call.id, error))
        except Exception:
            logger.exception("%s %s crashed", call.op, call.id)
            self._finish(run, _crashed(call))
        else:
            self._finish(run, Reply(call.id, result))

    def _finish(self, run: _Run, outcome: Outcome) -> None:
        del self._runs[run.call.id]
        if run.late is not None:
            run.late.cancel()
        if run.idle is not None:
            run.idle.cancel()
        self._settle(outcome)
        if run.then is not None and isinstance(outcome, Reply):
            run.then()


def _aborted(run: _Run) -> Fault:
    return Fault(run.call.id, run.why or Cancelled("ABORTED", "the call was aborted"))


def _crashed(call: Call) -> Fault:
    failed = f"{call.op} failed unexpectedly"
    return Fault(call.id, Internal("CRASHED", failed, advice="the hub's log has the story"))
