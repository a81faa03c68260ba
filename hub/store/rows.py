"""What the queries return: one frozen row per shape. A test asks Postgres whether each is true."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from pydantic import JsonValue

from protocol.session import State

Json = JsonValue


@dataclass(frozen=True, slots=True)
class SpawnRow:
    ord: int
    inserted: bool
    parent_desired: str | None
    parent_state: State | None


@dataclass(frozen=True, slots=True)
class KeyRow:
    session_id: str
    params_hash: bytes


@dataclass(frozen=True, slots=True)
class SessionIdRow:
    session_id: str


@dataclass(frozen=True, slots=True)
class ParentRow:
    session_id: str
    state: State
    desired: str
    grant_depth: int
    grant_children: int


@dataclass(frozen=True, slots=True)
class CountRow:
    n: int


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
    labels: Json
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    exit_code: int | None
    last_seq: int
    result: Json
    owner: str
    queue_deadline: datetime | None
    run_deadline: datetime | None
    abort_id: str | None
    abort_reason: str | None
    abort_asked_at: datetime | None
    abort_before: State | None
    abort_confirmed: bool | None
    wanted_spoke: str | None
    requires: Json
    saved: Json
    agent_session_id: str | None
    agent_state: Json


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
class StateRow:
    state: State | None


@dataclass(frozen=True, slots=True)
class SeqRow:
    seq: int


@dataclass(frozen=True, slots=True)
class MarkedRow:
    session_id: str
    before: State | None
    spoke_id: str | None
    spared: bool
    abort_id: str
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class OverdueRow:
    session_id: str
    state: State


@dataclass(frozen=True, slots=True)
class OrderedRow:
    seq: int
    spoke_id: str


@dataclass(frozen=True, slots=True)
class AppendRow:
    verdict: str
    stored: int
    first_seq: int | None
    skipped: int | None


@dataclass(frozen=True, slots=True)
class VerdictRow:
    verdict: str


@dataclass(frozen=True, slots=True)
class EventRow:
    seq: int
    at: datetime
    attempt: int
    kind: str
    body: Json


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
class HubRow:
    hub_id: str


@dataclass(frozen=True, slots=True)
class SpokeIdRow:
    spoke_id: str


@dataclass(frozen=True, slots=True)
class SpokeKeyRow:
    spoke_id: str
    name: str
    public_key: bytes
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class HelloRow:
    epoch: int
    cmd_seq: int
    boot_id: str | None


@dataclass(frozen=True, slots=True)
class BootRow:
    boot_id: str | None
    incarnation: str | None


@dataclass(frozen=True, slots=True)
class HeldRow:
    session_id: str
    attempt: int
    current_attempt: int
    state: State
    desired: str
    stored: int
    live: bool
    accepted: bool
    given_up: bool


@dataclass(frozen=True, slots=True)
class KnownRow:
    session_id: str
    current_attempt: int
    state: State
    desired: str


@dataclass(frozen=True, slots=True)
class LeaseRow:
    spoke_id: str
    expired: bool | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    session_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class SilentRow:
    session_id: str
    attempt: int
    spoke_id: str


@dataclass(frozen=True, slots=True)
class SpokeRow:
    spoke_id: str
    name: str
    online: bool
    cordoned: bool
    draining: bool
    labels: Json
    slots: int
    version: str | None
    last_seen_at: datetime | None
    detail: Json
    revoked_at: datetime | None
    epoch: int
    live: int


@dataclass(frozen=True, slots=True)
class LiveRow:
    session_id: str
    attempt: int
    state: State


@dataclass(frozen=True, slots=True)
class AttemptNumberRow:
    attempt: int


@dataclass(frozen=True, slots=True)
class QueuedRow:
    session_id: str
    wanted_spoke: str | None
    requires: Json
    attempt: int


@dataclass(frozen=True, slots=True)
class RoomRow:
    spoke_id: str
    name: str
    labels: Json
    slots: int
    live: int


@dataclass(frozen=True, slots=True)
class OrderRow:
    seq: int
    session_id: str
    attempt: int
    kind: str
    body: Json
    task: str
    repo: str
    base: str | None
    branch: str
    agent: str
    spec: Json
    parent_id: str | None


@dataclass(frozen=True, slots=True)
class PlacedRow(OrderRow):
    """``alone``: nothing follows it that was said to the session."""

    spoke_id: str
    alone: bool


@dataclass(frozen=True, slots=True)
class PastRow:
    session_id: str
    state: State
    requires: Json
    parent_desired: str | None
    spoke_id: str | None
    spoke: str | None
    spoke_online: bool | None
    worktree: str | None
    saved: Json
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


@dataclass(frozen=True, slots=True)
class EarlierRow:
    worktree: str | None
    base_commit: str
    saved: str | None
    agent_session_id: str | None


@dataclass(frozen=True, slots=True)
class ExpiryRow:
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class TokenRow:
    token_id: str
    kind: str
    name: str
    role: str
    detail: Json
    expired: bool
    used: bool
    revoked: bool


@dataclass(frozen=True, slots=True)
class UsedTokenRow:
    token_id: str
    name: str
    role: str
    detail: Json


@dataclass(frozen=True, slots=True)
class TokenIdRow:
    token_id: str


@dataclass(frozen=True, slots=True)
class TokenViewRow:
    token_id: str
    name: str
    role: str
    prefix: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class StateCountRow:
    state: str
    n: int


@dataclass(frozen=True, slots=True)
class TakenRow:
    taken: str


@dataclass(frozen=True, slots=True)
class ClaimRow:
    fresh: bool  #: False: taken over from a hub that is gone


@dataclass(frozen=True, slots=True)
class CallRow:
    op: str
    params_hash: bytes
    instance: str
    answer: JsonValue


@dataclass(frozen=True, slots=True)
class KeyOnlyRow:
    key: str


@dataclass(frozen=True, slots=True)
class MigrationRow:
    name: str
    checksum: str


@dataclass(frozen=True, slots=True)
class NoRow:
    """A statement that returns nothing."""
