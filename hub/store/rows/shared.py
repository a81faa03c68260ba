"""Rows of many queries: an id, a number, a state."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.session import State


@dataclass(frozen=True, slots=True)
class SessionIdRow:
    session_id: str


@dataclass(frozen=True, slots=True)
class CountRow:
    n: int


@dataclass(frozen=True, slots=True)
class StateRow:
    state: State | None


@dataclass(frozen=True, slots=True)
class OrderedRow:
    seq: int
    spoke_id: str


@dataclass(frozen=True, slots=True)
class VerdictRow:
    verdict: str


@dataclass(frozen=True, slots=True)
class SpokeIdRow:
    spoke_id: str


@dataclass(frozen=True, slots=True)
class AttemptRow:
    session_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptNumberRow:
    attempt: int


@dataclass(frozen=True, slots=True)
class NoRow:
    """A statement that returns nothing."""
