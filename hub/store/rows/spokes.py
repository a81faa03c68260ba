"""What the queries on spokes and what they hold return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from protocol.session import State


@dataclass(frozen=True, slots=True)
class HubRow:
    hub_id: str


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
    overlaps: bool  #: orders wait with numbers that it has seen


@dataclass(frozen=True, slots=True)
class BootRow:
    boot_id: str | None
    incarnation: str | None


@dataclass(frozen=True, slots=True)
class NumberRow:
    cmd_seq: int


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
    labels: JsonValue
    slots: int
    version: str | None
    last_seen_at: datetime | None
    detail: JsonValue
    sandboxes: list[str]
    revoked_at: datetime | None
    epoch: int
    live: int


@dataclass(frozen=True, slots=True)
class LiveRow:
    session_id: str
    attempt: int
    state: State
