"""Rows of the queries on failed agents, and on accounts with limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class FailuresRow:
    agent: str
    fallback: JsonValue
    failures: JsonValue
    limited_until: datetime | None
    limited_at: datetime | None
    open_at: datetime | None
    strikes: int
    now: datetime


@dataclass(frozen=True, slots=True)
class AccountRow:
    account: str
    limited_until: datetime
    limited_at: datetime


@dataclass(frozen=True, slots=True)
class AccountNameRow:
    account: str


@dataclass(frozen=True, slots=True)
class LimitRow:
    account: str
    limited_until: datetime | None
    limited_at: datetime
    said: str
    strikes: int
    now: datetime
    waiting: int


@dataclass(frozen=True, slots=True)
class LiftedRow:
    session_ids: list[str]


@dataclass(frozen=True, slots=True)
class HandoffRow:
    """``told`` and ``said``: the newest first."""

    task: str
    branch: str
    failed: str | None
    told: list[str]
    said: list[str]
