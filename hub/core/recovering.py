"""Database, spokes, worktrees and branches held against each other: pure.

What only a spoke knows of is no garbage: the database may be the one that was put back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocol.ops.wire import Survey
from protocol.session import State


@dataclass(frozen=True, slots=True)
class Record:
    """A session with its last attempt, as the database has it."""

    session_id: str
    state: State
    attempt: int
    spoke_id: str | None
    worktree: str | None
    live: bool  #: its attempt is not released
    accepted: bool  #: its start order is on the spoke's disk
    away: bool  #: its spoke is revoked, or out of reach for longer than it may be


@dataclass(frozen=True, slots=True)
class GiveUp:
    session_id: str
    attempt: int
    why: str


@dataclass(frozen=True, slots=True)
class Forget:
    """The worktree that an attempt left."""

    session_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Remember:
    """The worktree of a session that has ended."""

    spoke_id: str
    session_id: str
    worktree: str


@dataclass(frozen=True, slots=True)
class TakeAway:
    """A worktree: saved, then to the trash."""

    spoke_id: str
    session_id: str
    worktree: str
    branch: str


Act = GiveUp | Forget | Remember | TakeAway


@dataclass(frozen=True, slots=True)
class Found:
    """A disagreement. `act` is None where a person has to look; `action` says it in words."""

    kind: str
    session_id: str
    spoke_id: str | None
    what: str
    action: str
    act: Act | None = None


def decide(records: Sequence[Record], surveys: Mapping[str, Survey]) -> list[Found]:
    """`surveys`: of the spokes that could be asked, by id."""
    known = {record.session_id: record for record in records}
    found = [one for record in records for one in _of_record(record, surveys)]
    for spoke_id, survey in surveys.items():
        found += _of_attempts(spoke_id, survey, known)
        found += _of_worktrees(spoke_id, survey, known)
        found += _of_refs(spoke_id, survey, known)
    return found


def _of_record(record: Record, surveys: Mapping[str, Survey]) -> list[Found]:
    id, spoke_id = record.session_id, record.spoke_id
    survey = surveys.get(spoke_id or "")
    if record.live and record.away and record.state in (State.ABORTING, State.UNKNOWN):
        why = "its spoke is gone: nobody saw it dead"
        word = "an abort" if record.state is State.ABORTING else "its end"
        action = "give it up: aborted, unconfirmed"
        if record.state is State.UNKNOWN:
            action = "give it up: lost"
        what = f"{word} waits for a spoke that is gone"
        return [Found("gone", id, spoke_id, what, action, GiveUp(id, record.attempt, why))]
    if survey is None:
        return []
    held = {(one.session_id, one.attempt) for one in survey.attempts}
    if record.live and record.accepted and (id, record.attempt) not in held:
        why = "its spoke no longer has it"
        what = f"attempt {record.attempt} is {record.state}, and its spoke does not have it"
        return [Found("no_attempt", id, spoke_id, what, "give it up: lost", _lost(record, why))]
    there = {one.session_id for one in survey.worktrees}
    if not record.live and record.worktree is not None and id not in there:
        what = f"its worktree {record.worktree} is not there"
        act = Forget(id, record.attempt)
        return [Found("no_worktree", id, spoke_id, what, "forget the worktree", act)]
    return []


def _of_attempts(spoke_id: str, survey: Survey, known: Mapping[str, Record]) -> list[Found]:
    found: list[Found] = []
    for one in survey.attempts:
        record = known.get(one.session_id)
        if record is None:
            what = f"attempt {one.attempt} of a session that the database does not know"
            action = "nothing: the database may have been put back; look at it on the spoke"
            found.append(Found("unknown_attempt", one.session_id, spoke_id, what, action))
        elif one.damaged and record.live and record.attempt == one.attempt:
            what = f"the spool of attempt {one.attempt} is damaged"
            act = _lost(record, "its spool is damaged")
            action = "give it up: lost; look at the disk"
            found.append(Found("damaged", one.session_id, spoke_id, what, action, act))
    return found


def _of_worktrees(spoke_id: str, survey: Survey, known: Mapping[str, Record]) -> list[Found]:
    busy = {one.session_id for one in survey.attempts}
    found: list[Found] = []
    for one in survey.worktrees:
        record = known.get(one.session_id)
        if one.session_id in busy:
            continue
        if record is not None and record.spoke_id == spoke_id:
            if record.worktree is None and not record.live:
                found.append(_unknown(record.session_id, spoke_id, one.worktree))
            continue
        act = TakeAway(spoke_id, one.session_id, one.worktree, one.branch)
        what = f"the worktree {one.worktree} belongs to a session that is "
        what += "elsewhere by now" if record is not None else "not in the database"
        action = "save it, and move it to the trash"
        found.append(Found("stray_worktree", one.session_id, spoke_id, what, action, act))
    return found


def _of_refs(spoke_id: str, survey: Survey, known: Mapping[str, Record]) -> list[Found]:
    action = "nothing: it may be all that is left of the work; look at it, and delete it by hand"
    found = [
        Found("orphan_ref", one.session_id, spoke_id,
              f"{one.ref} in the clone of {one.repo} belongs to no session", action)
        for one in survey.saved if one.session_id not in known
    ]  # fmt: skip
    found += [
        Found("stray_branch", one.session_id, spoke_id,
              f"{one.ref} in the clone of {one.repo} belongs to no session", action)
        for one in survey.branches if one.session_id not in known
    ]  # fmt: skip
    return found


def _unknown(id: str, spoke_id: str, worktree: str) -> Found:
    """A spoke put it back, and its answer never arrived."""
    what = f"its worktree {worktree} is there, and the database does not know of it"
    act = Remember(spoke_id, id, worktree)
    return Found("unknown_worktree", id, spoke_id, what, "take it down as its worktree", act)


def _lost(record: Record, why: str) -> GiveUp:
    return GiveUp(record.session_id, record.attempt, why)
