"""What the queries on sessions and their trees return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from protocol.session import State


@dataclass(frozen=True, slots=True)
class SpawnRow:
    ord: int
    inserted: bool
    parent_desired: str | None
    parent_state: State | None


@dataclass(frozen=True, slots=True)
class SpawnedRow:
    """``seq``: of its start order, where it was given to a spoke at once."""

    session_id: str
    seq: int | None


@dataclass(frozen=True, slots=True)
class KeyRow:
    session_id: str
    params_hash: bytes


@dataclass(frozen=True, slots=True)
class ParentRow:
    session_id: str
    state: State
    desired: str
    grant_depth: int
    grant_children: int
    sandbox: str
    runs_in: str | None


@dataclass(frozen=True, slots=True)
class ViewRow:
    session_id: str
    task: str
    state: State
    desired: str
    activity: str | None
    reason: str | None
    state_since: datetime
    parent_id: str | None
    root_id: str
    depth: int
    on_parent_abort: str
    attempt: int
    agent: str
    repo: str
    branch: str
    base_commit: str | None
    worktree: str | None
    spoke_id: str | None
    spoke: str | None
    spoke_online: bool | None
    spoke_seen_at: datetime | None
    labels: JsonValue
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    exit_code: int | None
    last_seq: int
    result: JsonValue
    owner: str
    queue_deadline: datetime | None
    run_deadline: datetime | None
    abort_id: str | None
    abort_reason: str | None
    abort_asked_at: datetime | None
    abort_before: State | None
    abort_confirmed: bool | None
    wanted_spoke: str | None
    requires: JsonValue
    saved: JsonValue
    agent_session_id: str | None
    agent_state: JsonValue
    account: str
    failures: JsonValue
    limited_until: datetime | None
    limited_at: datetime | None
    limit_said: str | None
    sandbox: str
    runs_in: str | None


@dataclass(frozen=True, slots=True)
class PageRow:
    session_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TreeRow:
    session_id: str
    spared: bool
    level: int


@dataclass(frozen=True, slots=True)
class BelowRow:
    below: bool


@dataclass(frozen=True, slots=True)
class SeqRow:
    seq: int


@dataclass(frozen=True, slots=True)
class MarkedRow:
    session_id: str
    before: State | None
    spared: bool
    abort_id: str
    asked_at: datetime
    # Of an order to stop.
    spoke_id: str | None
    attempt: int | None
    seq: int | None
    body: JsonValue


@dataclass(frozen=True, slots=True)
class StopRow:
    """``waits``: an order to stop, for its spoke to take it."""

    session_id: str
    waits: bool
    silent_since: datetime | None


@dataclass(frozen=True, slots=True)
class OverdueRow:
    session_id: str
    state: State


@dataclass(frozen=True, slots=True)
class PastRow:
    session_id: str
    state: State
    requires: JsonValue
    sandbox: str
    parent_desired: str | None
    spoke_id: str | None
    spoke: str | None
    spoke_online: bool | None
    worktree: str | None
    saved: JsonValue
    saved_on: str | None


@dataclass(frozen=True, slots=True)
class HeldSomewhereRow:
    session_id: str
    state: State
    attempt: int
    spoke_id: str | None
    worktree: str | None
    live: bool
    accepted: bool
    away: bool
