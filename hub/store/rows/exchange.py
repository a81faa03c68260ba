"""What the queries on events, messages and orders return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from pydantic import JsonValue

from protocol.session import State


@dataclass(frozen=True, slots=True)
class AppendRow:
    verdict: str
    stored: int
    first_seq: int | None
    skipped: int | None
    told_to: str | None  #: the session above, which has heard of it


@dataclass(frozen=True, slots=True)
class EventRow:
    seq: int
    at: datetime
    attempt: int
    kind: str
    body: JsonValue


@dataclass(frozen=True, slots=True)
class StoryRow:
    birth_day: date
    last_seq: int
    state: State


@dataclass(frozen=True, slots=True)
class MadeRow:
    made: int


@dataclass(frozen=True, slots=True)
class MessageIdRow:
    message_id: str


@dataclass(frozen=True, slots=True)
class MessageRow:
    message_id: str
    session_id: str
    mode: str
    state: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class LockedRow:
    session_id: str
    state: State
    desired: str
    attempt: int
    task: str
    branch: str
    agent_session_id: str | None


@dataclass(frozen=True, slots=True)
class SceneRow:
    """``rooms``: [spoke id, name, labels, slots, live, sandboxes, agents, epoch] each;
    ``waiting``: [session id, wanted spoke, required labels, sandbox, agent] each, for whom there
    is room; ``anybody``: whether one waits, if only for a spoke that is full.
    """

    rooms: JsonValue
    waiting: JsonValue
    anybody: bool


@dataclass(frozen=True, slots=True)
class OrderRow:
    seq: int
    session_id: str
    attempt: int
    kind: str
    body: JsonValue
    task: str
    repo: str
    base: str | None
    branch: str
    agent: str
    spec: JsonValue
    sandbox: str
    parent_id: str | None


@dataclass(frozen=True, slots=True)
class PlacedRow(OrderRow):
    """``alone``: nothing follows it that was said to the session."""

    spoke_id: str
    alone: bool


@dataclass(frozen=True, slots=True)
class EarlierRow:
    worktree: str | None
    base_commit: str
    saved: str | None
    agent_session_id: str | None
    asked: int  #: questions, by all attempts before
