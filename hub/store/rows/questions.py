"""What the queries on questions return; one frozen row per shape."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    verdict: str
    spoke_id: str | None


@dataclass(frozen=True, slots=True)
class QuestionRow:
    session_id: str
    number: int
    attempt: int
    body: JsonValue
    asked_at: datetime
    answer: str | None
    answer_by: str | None
    decision: str | None
    decided_by: str | None
    decided_at: datetime | None
    task: str
    live: bool


@dataclass(frozen=True, slots=True)
class LayersRow:
    layers: JsonValue
