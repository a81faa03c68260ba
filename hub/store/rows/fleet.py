"""What the queries on hubs, leadership and leases return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class LeaseRow:
    spoke_id: str
    expired: bool | None


@dataclass(frozen=True, slots=True)
class DrainingRow:
    draining: bool


@dataclass(frozen=True, slots=True)
class InstanceRow:
    instance: str


@dataclass(frozen=True, slots=True)
class HubLiveRow:
    instance: str
    url: str
    version: str
    draining: bool
    started_at: datetime
    seen_at: datetime
    spokes: int
    term: int | None


@dataclass(frozen=True, slots=True)
class TermRow:
    term: int


@dataclass(frozen=True, slots=True)
class DoubtRow:
    doubt: str | None


@dataclass(frozen=True, slots=True)
class HolderRow:
    hub: str
    incarnation: str | None


@dataclass(frozen=True, slots=True)
class HeldLinkRow:
    spoke_id: str
    runs: bool  #: its lease


@dataclass(frozen=True, slots=True)
class ReachRow:
    now: datetime
    not_before: datetime
    placed_at: datetime | None
    taken: bool
    lease_ends: datetime | None
    fence_ms: int | None
    laptop: bool
    stop_waits: datetime | None


@dataclass(frozen=True, slots=True)
class AskRow:
    ask_id: str
    spoke_id: str
    op: str
    params: JsonValue
    seconds: int


@dataclass(frozen=True, slots=True)
class AskIdRow:
    ask_id: str


@dataclass(frozen=True, slots=True)
class AnswerRow:
    answered: bool
    answer: JsonValue
    error: JsonValue


@dataclass(frozen=True, slots=True)
class SaidTextRow:
    said: str


@dataclass(frozen=True, slots=True)
class DroppedRow:
    dropped: int
