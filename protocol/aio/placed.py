"""The calls that this process placed: who waits for their answers, and reads their items."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from pydantic import JsonValue

from protocol.errors import CallError, Cancelled, DeadlineExceeded
from protocol.frames import Call, CallId, Fault, Outcome

ABORT_PATIENCE = 60.0  # seconds a caller who gave up still waits for the confirmed answer
LATE_SECONDS = 1.0  # a far side that has not said by then that the time is over may be gone

Abort = Callable[[CallId, CallError], None]


class Placed:
    """``abort`` is told when a waiter gave up, or its time is over."""

    def __init__(self, abort: Abort) -> None:
        self._abort = abort
        self._answers: dict[CallId, asyncio.Future[Outcome]] = {}
        self._readers: dict[CallId, Callable[[object], None]] = {}
        self._given_up: dict[CallId, tuple[float, asyncio.Future[Outcome]]] = {}  # and until when
        self._looks: asyncio.TimerHandle | None = None  # one for all of them

    def __contains__(self, id: CallId) -> bool:
        return id in self._answers

    async def outcome(self, call: Call, place: Callable[[], None], *, continues: bool) -> JsonValue:
        """Place a call and wait for its answer; a cancelled wait aborts it, unless it continues.

        Raises the CallError that it was answered with.
        """
        answer = self._answers[call.id] = asyncio.get_running_loop().create_future()
        late = self._time(call) if call.timeout_ms is not None else None
        try:
            place()
            outcome = await answer  # not shielded: that costs two futures more for each call
        except asyncio.CancelledError:
            if not continues:
                await self._give_up(call.id, answer)
            raise
        finally:
            self._answers.pop(call.id, None)
            if late is not None:
                late.cancel()
        if isinstance(outcome, Fault):
            raise outcome.error
        return cast("JsonValue", outcome.result)

    def answer(self, outcome: Outcome) -> None:
        answer = self._answers.pop(outcome.id, None) if outcome.id is not None else None
        if answer is not None and not answer.done():  # None: gave up waiting twice
            answer.set_result(outcome)

    def read(self, id: CallId, reader: Callable[[object], None]) -> None:
        """From now on the items of this call are this reader's."""
        self._readers[id] = reader

    def stop_reading(self, id: CallId) -> None:
        del self._readers[id]

    def deliver(self, id: CallId, value: object) -> None:
        if id in self._readers:
            self._readers[id](value)

    async def _give_up(self, id: CallId, answer: asyncio.Future[Outcome]) -> None:
        """Abort a call whose waiter was cancelled, and wait until that is confirmed."""
        if id not in self._answers:
            return  # it was answered between the cancel and this moment
        loop = asyncio.get_running_loop()
        if answer.cancelled():  # with its waiter
            answer = self._answers[id] = loop.create_future()
        self._abort(id, Cancelled("CALLER_GAVE_UP", "the caller gave up"))
        self._given_up[id] = (loop.time() + ABORT_PATIENCE, answer)
        if self._looks is None:
            self._looks = loop.call_later(ABORT_PATIENCE, self._lose_patience)
        try:
            await answer  # cancelled or not: its waiter was
        finally:
            del self._given_up[id]

    def _lose_patience(self) -> None:
        """Of those who gave up, let go who has waited for long: they are in order of that."""
        loop = asyncio.get_running_loop()
        self._looks = None
        for until, answer in self._given_up.values():
            if until > loop.time():
                self._looks = loop.call_at(until, self._lose_patience)
                break
            answer.cancel()

    def _time(self, call: Call) -> asyncio.TimerHandle:
        """The far side keeps the time of a call. It may be out of reach, and the time is over."""
        late = DeadlineExceeded(
            "DEADLINE_EXCEEDED", f"{call.op} was not answered within {call.timeout_ms} ms"
        )

        def expire() -> None:
            self._abort(call.id, late)
            self.answer(Fault(call.id, late))

        seconds = (call.timeout_ms or 0) / 1_000 + LATE_SECONDS
        return asyncio.get_running_loop().call_later(seconds, expire)
