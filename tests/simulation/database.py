"""What Postgres does for the hub, in memory: each method is one transaction.

The moves are those of `protocol/session.py`; the fences are written as in `sql/schema.sql`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from protocol.session import TRANSITIONS, Fact, State
from tests.support.invariants import Event, Hold, Key, Line, Session

OUTCOMES = {
    "completed": Fact.COMPLETED, "blocked": Fact.BLOCKED, "aborted": Fact.STOPPED,
    "lost": Fact.GIVEN_UP,
}  # fmt: skip


@dataclass(slots=True)
class Row:
    id: str
    parent: str | None
    key: str
    state: State = State.QUEUED
    since: float = 0.0
    attempt: int = 0
    aborting: bool = False
    result: object = None
    story: list[Event] = field(default_factory=list[Event])

    def note(self, kind: str, *, record: int | None = None, body: object = None) -> None:
        seq = len(self.story) + 1
        self.story.append(Event(self.id, seq, self.attempt, kind, record, body))


@dataclass(slots=True)
class Mapping:
    spoke: str
    live: bool = True
    stored: int = 0
    accepted: bool = False
    assigned: float = 0.0
    given_up: bool = False  #: and not by its own last record


@dataclass(slots=True)
class Order:
    seq: int
    kind: Literal["start", "stop"]
    key: Key
    acked: bool = False


@dataclass(slots=True)
class Spoke:
    epoch: int = 0
    online: bool = False
    boot: str | None = None
    heard: float = 0.0
    orders: list[Order] = field(default_factory=list[Order])


class Database:
    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.held: dict[Key, Mapping] = {}
        self.spokes: dict[str, Spoke] = {}
        self._numbers = itertools.count(1)

    # Callers.

    def spawn(self, now: float, key: str, parent: str | None) -> Row | None:
        """None: its parent takes no children. Asked again with its key, it is the same."""
        for row in self.rows.values():
            if row.key == key:
                return row
        if parent is not None and (self.rows[parent].aborting or self.rows[parent].state.ended):
            return None
        row = Row(f"ses_{next(self._numbers)}", parent, key, since=now)
        row.note("queued")
        self.rows[row.id] = row
        return row

    def abort(self, now: float, root: str) -> None:
        front = [root]
        while front:
            for id in front:
                self._mark(now, self.rows[id])
            front = [row.id for row in self.rows.values() if row.parent in front]

    def _mark(self, now: float, row: Row) -> None:
        row.aborting = True
        if row.state is State.QUEUED:
            self.tell(now, row, Fact.ABORT_ASKED)
            row.result = {"endedBy": "never_started"}
        elif row.state is State.LOST or not row.state.ended:
            if row.state is not State.LOST and row.state is not State.ABORTING:
                self.tell(now, row, Fact.ABORT_ASKED)
            mapping = self.held.get((row.id, row.attempt))
            if mapping is not None and (mapping.live or row.state is State.LOST):
                self._order(mapping.spoke, "stop", (row.id, row.attempt))

    def reopen(self, now: float, id: str) -> None:
        row = self.rows[id]
        if row.state.ended and not row.aborting:
            row.result = None
            self.tell(now, row, Fact.REOPENED)

    # The hub.

    def assign(self, now: float, id: str, spoke: str) -> None:
        row = self.rows[id]
        if row.state is not State.QUEUED or row.aborting or not self.spokes[spoke].online:
            return
        row.attempt += 1
        self.held[id, row.attempt] = Mapping(spoke, assigned=now)
        self.tell(now, row, Fact.PLACED)
        self._order(spoke, "start", (id, row.attempt))

    def pending(self, spoke: str, after: int) -> list[Order]:
        return [
            order
            for order in self.spokes[spoke].orders
            if not order.acked
            and order.seq > after
            and (order.kind != "start" or self.held[order.key].live)
        ]

    def acked(self, spoke: str, seq: int, epoch: int) -> None:
        if self.spokes[spoke].epoch != epoch:
            return
        for order in self.spokes[spoke].orders:
            if order.seq <= seq and not order.acked:
                order.acked = True
                if order.kind == "start":
                    self.held[order.key].accepted = True

    def greet(self, now: float, name: str, boot: str) -> tuple[int, bool]:
        """Its new epoch, and whether it was rebooted since the last time."""
        spoke = self.spokes[name]
        rebooted = spoke.boot not in (None, boot)
        spoke.epoch, spoke.online, spoke.boot, spoke.heard = spoke.epoch + 1, True, boot, now
        return spoke.epoch, rebooted

    def append(
        self, now: float, spoke: str, epoch: int, key: Key, first: int, records: Sequence[Line]
    ) -> tuple[Literal["ok", "stale_epoch", "superseded"], int]:
        row, mapping = self.rows[key[0]], self.held.get(key)
        if self.spokes[spoke].epoch != epoch:
            return "stale_epoch", 0
        if mapping is None or mapping.spoke != spoke or row.attempt != key[1]:
            return "superseded", 0
        if not mapping.live and row.state is not State.LOST and first > mapping.stored:
            return "superseded", mapping.stored
        if first > mapping.stored + 1:
            return "ok", mapping.stored
        for line in records[mapping.stored + 1 - first :]:
            mapping.stored += 1
            row.note(line.kind, record=mapping.stored, body=line.body)
            self._apply(now, row, mapping, line)
        return "ok", mapping.stored

    def _apply(self, now: float, row: Row, mapping: Mapping, line: Line) -> None:
        match line.kind:
            case "starting":
                self.tell(now, row, Fact.ACCEPTED, silent=True)
            case "running":
                self.tell(now, row, Fact.STARTED, silent=True)
            case "exited":
                mapping.live = False
                row.result = line.body
                outcome = str(line.body["outcome"]) if isinstance(line.body, dict) else ""
                fact = OUTCOMES.get(outcome, Fact.FAILED)
                if not self.tell(now, row, fact):
                    if outcome != "lost":
                        self.tell(now, row, Fact.FAILED)
                    elif row.aborting:
                        self.tell(now, row, Fact.STOPPED)
            case _:
                pass

    def give_up(
        self, now: float, key: Key, *, only_in: State | None = None, by: tuple[str, int] | None
    ) -> None:
        row = self.rows[key[0]]
        if row.attempt != key[1] or (only_in is not None and row.state is not only_in):
            return
        if by is not None and self.spokes[by[0]].epoch != by[1]:
            return
        mapping = self.held[key]
        mapping.given_up = mapping.given_up or mapping.live
        mapping.live = False
        self.tell(now, row, Fact.STOPPED if row.state is State.ABORTING else Fact.GIVEN_UP)

    def found(self, now: float, key: Key, by: tuple[str, int]) -> None:
        row = self.rows[key[0]]
        if row.attempt == key[1] and self.spokes[by[0]].epoch == by[1]:
            self.tell(now, row, Fact.FOUND)

    def expire(self, now: float, name: str) -> None:
        self.spokes[name].online = False
        for (id, attempt), mapping in self.held.items():
            row = self.rows[id]
            if mapping.spoke == name and mapping.live and row.attempt == attempt:
                self.tell(now, row, Fact.CONTACT_LOST)

    # Both.

    def tell(self, now: float, row: Row, fact: Fact, *, silent: bool = False) -> bool:
        after = TRANSITIONS[row.state].get(fact)
        if after is None:
            return False
        row.state, row.since = after, now
        if not silent:
            row.note(str(after))
        return True

    def _order(self, spoke: str, kind: Literal["start", "stop"], key: Key) -> None:
        orders = self.spokes[spoke].orders
        orders.append(Order(len(orders) + 1, kind, key))

    # Whoever looks at it afterwards.

    def sessions(self) -> list[Session]:
        return [
            Session(
                row.id, row.state, row.attempt, row.parent, key=row.key, aborting=row.aborting,
                last_seq=len(row.story), result=row.result,
            )
            for row in self.rows.values()
        ]  # fmt: skip

    def holds(self) -> list[Hold]:
        return [Hold(key, live=one.live, stored=one.stored) for key, one in self.held.items()]

    def events(self) -> list[Event]:
        return [event for row in self.rows.values() for event in row.story]
