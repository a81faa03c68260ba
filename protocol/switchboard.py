"""The call tree of one process, as a pure state machine.

Sans-I/O: every method takes one fact and returns the effects it calls for, in order. Nothing here
awaits, sleeps, logs, reads a clock or knows what a link is made of. Client, hub and spoke each
run one switchboard.

Three promises, kept whatever order the facts arrive in:

1. Every call is answered exactly once.
2. No call is answered while a call placed on its behalf is still in flight.
3. An abort reaches every call below it, and no call above or beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NewType, assert_never

from protocol.errors import (
    CallError,
    Cancelled,
    InvalidRequest,
    LinkLost,
    ResourceExhausted,
)
from protocol.frames import (
    Abort,
    Call,
    CallId,
    Credit,
    Fault,
    Frame,
    Goaway,
    Item,
    Notice,
    Outcome,
    Reply,
)
from protocol.limits import MAX_IN_FLIGHT

LinkId = NewType("LinkId", str)


@dataclass(frozen=True, slots=True)
class Send:
    """Put a frame on a link."""

    link: LinkId
    frame: Frame


@dataclass(frozen=True, slots=True)
class Run:
    """Start the local handler of a call; report back with `settle`."""

    link: LinkId
    call: Call


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel the local handler of a call; it still reports back with `settle`."""

    id: CallId
    why: CallError


@dataclass(frozen=True, slots=True)
class Answer:
    """Hand the outcome of a call to whoever placed it in this process."""

    id: CallId
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand one item of a stream to whoever placed the call in this process."""

    id: CallId
    value: object


@dataclass(frozen=True, slots=True)
class Resume:
    """The reader of a stream takes more: its handler may go on to `emit`."""

    id: CallId


@dataclass(frozen=True, slots=True)
class Hear:
    """A notice or a goaway arrived: not a call, not answered."""

    link: LinkId
    frame: Notice | Goaway


@dataclass(frozen=True, slots=True)
class Accuse:
    """The peer broke a rule of the wire; the call it meant is unaffected."""

    link: LinkId
    what: str


Effect = Send | Run | Stop | Answer | Deliver | Resume | Hear | Accuse


@dataclass(slots=True)
class _InFlight:
    call: Call
    parent: CallId | None
    placed_by: LinkId | None  # None: this process placed it, or its caller is gone
    runs_on: LinkId | None  # None: this process runs it
    children: set[CallId] = field(default_factory=set[CallId])
    aborted: CallError | None = None
    outcome: Outcome | None = None  # known, but held back until the children settle
    items: int = 0  # sent, or received
    granted: int | None = None  # how many items may be sent in all; None: no limit


class Switchboard:
    def __init__(self) -> None:
        self._calls: dict[CallId, _InFlight] = {}
        self._asked: dict[LinkId, int] = {}  # calls in flight that a link asked us for

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
                entry = self._calls.get(frame.id)
                if entry is None or entry.placed_by != link:
                    return []  # the answer crossed the abort, or it is not theirs to abort
                return self._abort(entry, _cancelled(frame.reason))
            case Credit():
                return self._credit(link, frame)
            case Notice() | Goaway():
                return [Hear(link, frame)]
            case _:
                assert_never(frame)

    def lose(self, link: LinkId) -> list[Effect]:
        """The link is gone: abort what it asked for (unless detached), fail what it was running."""
        effects: list[Effect] = []
        self._asked.pop(link, None)
        for entry in list(self._calls.values()):
            if entry.placed_by == link:
                entry.placed_by = None
                if not entry.call.detach:
                    effects += self._abort(entry, _cancelled("the caller's link is gone"))
                elif entry.runs_on is None and entry.granted is not None:
                    effects.append(Resume(entry.call.id))  # nobody is left to grant more
            if entry.runs_on == link and entry.call.id in self._calls:
                gone = LinkLost("LINK_LOST", "the link went before the answer came")
                effects += self._conclude(entry, Fault(entry.call.id, gone))
        return effects

    # Facts from this process.

    def place(self, call: Call, *, on: LinkId, parent: CallId | None = None) -> list[Effect]:
        """Place a call on a link, on behalf of ``parent`` if it has one."""
        above = self._calls.get(parent) if parent is not None else None
        if parent is not None and (above is None or above.aborted or above.outcome):
            return [Answer(call.id, Fault(call.id, _cancelled("its parent call is over")))]
        self._calls[call.id] = _InFlight(call, parent, placed_by=None, runs_on=on)
        if above is not None:
            above.children.add(call.id)
        return [Send(on, call)]

    def emit(self, id: CallId, value: object) -> list[Effect]:
        """The local handler has one more item for its caller. Said after the end, it is dropped."""
        entry = self._calls.get(id)
        if entry is None or entry.placed_by is None or entry.aborted or entry.outcome:
            return []
        entry.items += 1
        return [Send(entry.placed_by, Item(id, entry.items, value))]

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

    def abort(self, id: CallId, why: CallError) -> list[Effect]:
        """Abort a call and all below it; ``why`` is what its handler is told."""
        entry = self._calls.get(id)
        return [] if entry is None else self._abort(entry, why)

    # The machine.

    def _called(self, link: LinkId, call: Call) -> list[Effect]:
        if call.id in self._calls:
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
        entry = _InFlight(call, None, placed_by=link, runs_on=None, granted=call.credit)
        self._calls[call.id] = entry
        return [Run(link, call)]

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
        return [] if entry.aborted else [Deliver(item.id, item.value)]

    def _credit(self, link: LinkId, credit: Credit) -> list[Effect]:
        entry = self._calls.get(credit.id)
        if entry is None or entry.placed_by != link or entry.granted is None:
            return []  # the end of the stream crossed the credit
        entry.granted += credit.n
        return [Resume(credit.id)]

    def _abort(self, entry: _InFlight, why: CallError) -> list[Effect]:
        if entry.aborted is not None:
            return []
        entry.aborted = why
        effects: list[Effect] = []
        if entry.runs_on is not None:
            effects.append(Send(entry.runs_on, Abort(entry.call.id, why.message)))
        elif entry.outcome is None:
            effects.append(Stop(entry.call.id, why))
        return effects + self._abort_all(entry.children, why)

    def _abort_all(self, ids: Iterable[CallId], why: CallError) -> list[Effect]:
        return [effect for id in sorted(ids) for effect in self._abort(self._calls[id], why)]

    def _conclude(self, entry: _InFlight, outcome: Outcome) -> list[Effect]:
        """An outcome is known. Answer now, or once the last child has settled."""
        entry.outcome = outcome
        if entry.children:
            return self._abort_all(entry.children, _cancelled("its parent call is over"))
        return self._answer(entry, outcome)

    def _answer(self, entry: _InFlight, outcome: Outcome) -> list[Effect]:
        id = entry.call.id
        del self._calls[id]
        effects: list[Effect] = []
        if entry.placed_by is not None:
            self._asked[entry.placed_by] -= 1
            effects.append(Send(entry.placed_by, outcome))
        elif entry.runs_on is not None:
            effects.append(Answer(id, outcome))
        above = self._calls.get(entry.parent) if entry.parent is not None else None
        if above is not None:
            above.children.discard(id)
            if above.outcome is not None and not above.children:
                effects += self._answer(above, above.outcome)
        return effects


def _cancelled(reason: str) -> Cancelled:
    return Cancelled("ABORTED", reason or "the call was aborted")
