"""The call tree of one process, as a pure state machine.

Sans-I/O: each method takes one fact and returns the effects it calls for, in order. Nothing here
awaits, logs, reads a clock or knows what a link is made of. Client, hub and spoke each run one.

Three promises, kept whatever order the facts arrive in:

1. Every call is answered exactly once.
2. No call is answered while a call placed on its behalf is still in flight, unless its caller said
   that it does not wait (`killnowait`, `skip`).
3. An abort reaches every call below it, and no call above or beside it. A handler may place a
   call that continues: it is not below.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from protocol.effects import Accuse, Answer, Deliver, Effect, GoOn, Hear, LinkId, Run, Send, Stop
from protocol.errors import (
    CallError,
    Cancelled,
    InvalidRequest,
    LinkLost,
    ResourceExhausted,
)
from protocol.frames import (
    Abort,
    Ack,
    Call,
    CallId,
    Credit,
    Fault,
    Frame,
    Goaway,
    Item,
    Mode,
    Notice,
    Outcome,
    Reply,
)
from protocol.in_flight import InFlight
from protocol.limits import MAX_IN_FLIGHT

__all__ = [
    "Accuse", "Answer", "Deliver", "Effect", "GoOn", "Hear", "LinkId", "Run", "Send", "Stop",
    "Switchboard",
]  # fmt: skip


class Switchboard:
    def __init__(self) -> None:
        self._calls: dict[CallId, InFlight] = {}
        self._asked: dict[LinkId, int] = {}  # calls in flight that a link asked us for
        # An id names a call on its link. Of two links that say the same one, the later is heard as:
        self._heard_as: dict[tuple[LinkId, CallId], CallId] = {}
        self._numbers = itertools.count(2)

    def in_flight(self) -> frozenset[CallId]:
        return frozenset(self._calls)

    def holds(self, id: CallId) -> bool:
        return id in self._calls

    # Facts from the wire.

    def receive(self, link: LinkId, frame: Frame) -> list[Effect]:
        match frame:
            case Call():
                return self._called(link, frame)
            case Reply() | Fault():
                return self._answered(link, frame)
            case Item():
                return self._item(link, frame)
            case Abort():
                entry = self._asked_by(link, frame.id)
                if entry is None or entry.placed_by != link:
                    return []  # the answer crossed the abort, or it is not theirs to abort
                return self._withdraw(entry, _cancelled(frame.reason), frame.mode)
            case Credit():
                return self._credit(link, frame)
            case Notice() | Goaway():
                return [Hear(link, frame)]
            case Ack():
                return []  # of the connection, not of its calls
            case _:
                assert_never(frame)

    def lose(self, link: LinkId, why: LinkLost | None = None) -> list[Effect]:
        """The link is gone: abort what it asked for (unless detached), fail what it was running."""
        effects: list[Effect] = []
        self._asked.pop(link, None)
        for entry in list(self._calls.values()):
            if entry.counted_on == link:
                self._heard_as.pop((link, entry.said), None)
                entry.counted_on = None
            if entry.placed_by == link:
                entry.placed_by = None
                if not entry.call.detach:
                    effects += self._abort(entry, _cancelled("the caller's link is gone"))
                elif entry.runs_on is None and entry.granted is not None:
                    effects.append(GoOn(entry.call.id))  # nobody is left to grant more
            if entry.runs_on == link and entry.call.id in self._calls:
                gone = why or LinkLost("LINK_LOST", "the link went before the answer came")
                effects += self._conclude(entry, Fault(entry.call.id, gone))
        return effects

    # Facts from this process.

    def place(
        self, call: Call, *, on: LinkId, parent: CallId | None = None, continues: bool = False
    ) -> list[Effect]:
        """Place a call on a link, on behalf of ``parent``; if it ``continues``, only begun so."""
        above = self._calls.get(parent) if parent is not None else None
        if parent is not None and (above is None or above.aborted or above.outcome):
            return [Answer(call.id, Fault(call.id, _cancelled("its parent call is over")))]
        entry = InFlight(call, call.id, parent, placed_by=None, runs_on=on)
        self._calls[call.id] = entry
        if continues:
            entry.parent = None
        elif above is not None:
            above.children.add(call.id)
        return [Send(on, call)]

    def emit(self, id: CallId, value: object) -> list[Effect]:
        """The local handler has one more item for its caller. Said after the end, it is dropped."""
        entry = self._calls.get(id)
        if entry is None or entry.placed_by is None or entry.aborted or entry.outcome:
            return []
        entry.items += 1
        return [Send(entry.placed_by, Item(entry.said, entry.items, value))]

    def may_emit(self, id: CallId) -> bool:
        """Whether the caller takes one more item now. True when nobody is left to take it."""
        entry = self._calls.get(id)
        if entry is None or entry.placed_by is None or entry.granted is None:
            return True
        return entry.items < entry.granted

    def grant(self, id: CallId, n: int) -> list[Effect]:
        """The reader in this process takes ``n`` more items of a stream that it placed."""
        entry = self._calls.get(id)
        if entry is None or entry.runs_on is None or entry.aborted or entry.outcome:
            return []
        return [Send(entry.runs_on, Credit(id, n))]

    def settle(self, outcome: Outcome) -> list[Effect]:
        """The local handler of a call finished."""
        entry = self._calls.get(outcome.id) if outcome.id is not None else None
        if entry is None or entry.runs_on is not None or entry.outcome is not None:
            return []
        return self._conclude(entry, outcome)

    def abort(self, id: CallId, why: CallError, mode: Mode = Mode.KILL) -> list[Effect]:
        """Abort a call and all below it; ``why`` is what its handler is told."""
        entry = self._calls.get(id)
        return [] if entry is None else self._withdraw(entry, why, mode)

    # The machine.

    def _called(self, link: LinkId, call: Call) -> list[Effect]:
        if self._asked_by(link, call.id) is not None:
            # Answered without an id: an answer under this id would be taken for the first call's.
            twice = InvalidRequest(
                "DUPLICATE_ID", "this id is in flight already", details={"id": call.id}
            )
            return [Send(link, Fault(None, twice))]
        asked = self._asked.get(link, 0)
        if asked >= MAX_IN_FLIGHT:
            busy = ResourceExhausted(
                "RATE_LIMITED",
                f"{asked} calls are in flight on this link",
                advice="wait for answers before asking more",
                retry_after_ms=100,
            )
            return [Send(link, Fault(call.id, busy))]
        self._asked[link] = asked + 1
        said = call.id
        if said in self._calls:
            call = replace(call, id=CallId(f"{said} ({next(self._numbers)})"))
            self._heard_as[link, said] = call.id
        self._calls[call.id] = InFlight(
            call, said, None, placed_by=link, runs_on=None, counted_on=link, granted=call.credit
        )
        return [Run(link, call)]

    def _asked_by(self, link: LinkId, said: CallId) -> InFlight | None:
        """The call in flight that this link means."""
        id = self._heard_as.get((link, said), said) if self._heard_as else said
        entry = self._calls.get(id)
        return entry if entry is not None and entry.counted_on == link else None

    def _answered(self, link: LinkId, outcome: Outcome) -> list[Effect]:
        if outcome.id is None:
            return [Accuse(link, f"it could not read what we sent: {outcome!r}"[:300])]
        entry = self._calls.get(outcome.id)
        if entry is None or entry.runs_on != link:
            return [Accuse(link, f"an answer to nothing it was asked: {outcome.id}")]
        if entry.outcome is not None:
            return [Accuse(link, f"a second answer: {outcome.id}")]
        return self._conclude(entry, outcome)

    def _item(self, link: LinkId, item: Item) -> list[Effect]:
        entry = self._calls.get(item.id)
        if entry is None or entry.runs_on != link:
            return [Accuse(link, f"an item of nothing it was asked: {item.id}")]
        if item.seq != entry.items + 1:
            return [Accuse(link, f"item {item.seq} of {item.id} after item {entry.items}")]
        entry.items = item.seq
        return [] if entry.aborted or entry.let_go else [Deliver(item.id, item.value)]

    def _credit(self, link: LinkId, credit: Credit) -> list[Effect]:
        entry = self._asked_by(link, credit.id)
        if entry is None or entry.placed_by != link or entry.granted is None:
            return []  # the end of the stream crossed the credit
        entry.granted += credit.n
        return [GoOn(entry.call.id)]

    def _withdraw(self, entry: InFlight, why: CallError, mode: Mode) -> list[Effect]:
        match mode:
            case Mode.KILL:
                return self._abort(entry, why)
            case Mode.KILL_NOWAIT:
                return self._let_go(entry, why) + self._abort(entry, why, mode)
            case Mode.SKIP:
                return self._skip(entry)
            case _:
                assert_never(mode)

    def _let_go(self, entry: InFlight, why: CallError) -> list[Effect]:
        """Answer before it is over; its own answer is nobody's then."""
        if entry.let_go:
            return []
        entry.let_go = True
        id, answer = entry.call.id, Fault(entry.said, why)
        if entry.placed_by is None:
            return [Answer(id, answer)] if entry.runs_on is not None else []
        effects: list[Effect] = [Send(entry.placed_by, answer)]
        entry.placed_by = None
        if entry.granted is not None:
            effects.append(GoOn(entry.call.id))  # nobody is left to grant more
        return effects

    def _skip(self, entry: InFlight) -> list[Effect]:
        if entry.let_go or entry.aborted:
            return []
        skipped = Cancelled("SKIPPED", "its caller waits no more; the work goes on")
        effects = self._let_go(entry, skipped)
        if entry.runs_on is not None:
            effects.append(Send(entry.runs_on, Abort(entry.call.id, skipped.message, Mode.SKIP)))
        return effects + self._leave_parent(entry)

    def _abort(self, entry: InFlight, why: CallError, mode: Mode = Mode.KILL) -> list[Effect]:
        if entry.aborted is not None:
            return []
        entry.aborted = why
        effects: list[Effect] = []
        if entry.runs_on is not None:
            effects.append(Send(entry.runs_on, Abort(entry.call.id, why.message, mode)))
        elif entry.outcome is None:
            effects.append(Stop(entry.call.id, why))
        if entry.children:
            effects += self._abort_all(entry.children, why)
        return effects

    def _abort_all(self, ids: Iterable[CallId], why: CallError) -> list[Effect]:
        return [effect for id in sorted(ids) for effect in self._abort(self._calls[id], why)]

    def _conclude(self, entry: InFlight, outcome: Outcome) -> list[Effect]:
        """An outcome is known. Answer now, or once the last child has settled."""
        entry.outcome = outcome
        if entry.children:
            return self._abort_all(entry.children, _cancelled("its parent call is over"))
        return self._answer(entry, outcome)

    def _answer(self, entry: InFlight, outcome: Outcome) -> list[Effect]:
        id = entry.call.id
        del self._calls[id]
        effects: list[Effect] = []
        if entry.counted_on is not None:
            self._asked[entry.counted_on] -= 1
            if entry.said != id:
                del self._heard_as[entry.counted_on, entry.said]
        if entry.placed_by is not None:
            said = outcome if entry.said == id else replace(outcome, id=entry.said)
            effects.append(Send(entry.placed_by, said))
        elif entry.runs_on is not None and not entry.let_go:
            effects.append(Answer(id, outcome))
        if entry.parent is not None:
            effects += self._leave_parent(entry)
        return effects

    def _leave_parent(self, entry: InFlight) -> list[Effect]:
        """Its parent waits for it no more, and may have waited for nothing else."""
        above = self._calls.get(entry.parent) if entry.parent is not None else None
        entry.parent = None
        if above is None:
            return []
        above.children.discard(entry.call.id)
        if above.outcome is None or above.children:
            return []
        return self._answer(above, above.outcome)


def _cancelled(reason: str) -> Cancelled:
    return Cancelled("ABORTED", reason or "the call was aborted")
