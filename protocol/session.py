"""The life of a session, as a table.

Rule 1: everything that affects the transitions lives here. Rule 2: this file does not know who
applies it: hub, spoke and Postgres obey the same table, and a test compares them. What is not in
the table is refused.

The numbers beside the rows are those of the design's table of transitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from protocol.errors import IllegalTransition


class State(StrEnum):
    QUEUED = "queued"  #: waits for a spoke with room
    ASSIGNED = "assigned"  #: a spoke was chosen and told
    STARTING = "starting"  #: the spoke makes the worktree and starts the agent
    RUNNING = "running"  #: the agent's process is alive
    UNKNOWN = "unknown"  #: the spoke is out of reach; the agent may well be alive
    ABORTING = "aborting"  #: told to stop, not yet seen dead
    COMPLETED = "completed"  #: ended by itself, successfully
    BLOCKED = "blocked"  #: a safe exit: stopped on purpose, wrote why, can be resumed
    FAILED = "failed"  #: ended by itself, unsuccessfully
    ABORTED = "aborted"  #: stopped by us; `confirmed` says whether it was seen dead
    LOST = "lost"  #: given up, by proof or by time

    @property
    def ended(self) -> bool:
        return self in ENDED


class Fact(StrEnum):
    PLACED = "placed"  #: a spoke was chosen (2)
    ACCEPTED = "accepted"  #: the spoke began to work on it (3)
    STARTED = "started"  #: the agent's process is alive (3)
    REFUSED = "refused"  #: the spoke would not, or did not answer in time (4)
    CONTACT_LOST = "contact_lost"  #: the lease of its spoke is over (5)
    FOUND = "found"  #: the spoke is back and its agent runs (6)
    REPLACED = "replaced"  #: replaceable, and its old spoke has fenced itself (7)
    GIVEN_UP = "given_up"  #: proof, or too long out of reach (8)
    COMPLETED = "completed"  #: the spoke's final report (9, 13)
    BLOCKED = "blocked"  #: the spoke's final report (9)
    FAILED = "failed"  #: the spoke's final report (9, 13)
    ABORT_ASKED = "abort_asked"  #: (10, 11)
    STOPPED = "stopped"  #: nothing of it is left alive (12), or nobody can say (14)
    REOPENED = "reopened"  #: retry, resume, or a message to a blocked session (15)
    RETRIED = "retried"  #: its agent failed, and the policy for that starts it again (16)


_FINAL: Final[Mapping[Fact, State]] = {
    Fact.COMPLETED: State.COMPLETED,
    Fact.BLOCKED: State.BLOCKED,
    Fact.FAILED: State.FAILED,
}
_RETRIED: Final[Mapping[Fact, State]] = {Fact.RETRIED: State.QUEUED}
_REOPENED: Final[Mapping[Fact, State]] = {Fact.REOPENED: State.QUEUED}

TRANSITIONS: Final[Mapping[State, Mapping[Fact, State]]] = {
    State.QUEUED: {
        Fact.PLACED: State.ASSIGNED,
        Fact.ABORT_ASKED: State.ABORTED,
    },
    State.ASSIGNED: {
        Fact.ACCEPTED: State.STARTING,
        Fact.STARTED: State.RUNNING,  # one message may be lost
        Fact.REFUSED: State.QUEUED,
        Fact.CONTACT_LOST: State.UNKNOWN,
        Fact.GIVEN_UP: State.LOST,  # the spoke says that it never had it
        Fact.ABORT_ASKED: State.ABORTING,
        **_FINAL,
        **_RETRIED,
    },
    State.STARTING: {
        Fact.STARTED: State.RUNNING,
        Fact.CONTACT_LOST: State.UNKNOWN,
        Fact.GIVEN_UP: State.LOST,
        Fact.ABORT_ASKED: State.ABORTING,
        **_FINAL,
        **_RETRIED,
    },
    State.RUNNING: {
        Fact.CONTACT_LOST: State.UNKNOWN,
        Fact.GIVEN_UP: State.LOST,
        Fact.ABORT_ASKED: State.ABORTING,
        **_FINAL,
        **_RETRIED,
    },
    State.UNKNOWN: {
        Fact.ACCEPTED: State.STARTING,
        Fact.STARTED: State.RUNNING,
        Fact.FOUND: State.RUNNING,
        Fact.REPLACED: State.QUEUED,
        Fact.GIVEN_UP: State.LOST,
        Fact.ABORT_ASKED: State.ABORTING,
        **_FINAL,
        **_RETRIED,
    },
    State.ABORTING: {
        Fact.STOPPED: State.ABORTED,
        **_FINAL,  # it ended by itself first: both facts are kept
    },
    State.COMPLETED: _REOPENED,
    State.BLOCKED: _REOPENED,
    State.FAILED: _REOPENED,
    State.ABORTED: _REOPENED,
    State.LOST: {
        **_REOPENED,
        **_FINAL,  # late truth beats a guess
        Fact.STOPPED: State.ABORTED,
    },
}

ENDED: Final = frozenset({State.COMPLETED, State.BLOCKED, State.FAILED, State.ABORTED, State.LOST})
ON_A_SPOKE: Final = frozenset(
    {State.ASSIGNED, State.STARTING, State.RUNNING, State.UNKNOWN, State.ABORTING}
)


class Desired(StrEnum):
    RUN = "run"
    ABORT = "abort"


class Activity(StrEnum):
    BUSY = "busy"
    IDLE = "idle"
    WAITING = "waiting"
    RATE_LIMITED = "rate_limited"


def advance(state: State, fact: Fact) -> State:
    """The state after ``fact``. Raises IllegalTransition if it cannot happen here."""
    try:
        return TRANSITIONS[state][fact]
    except KeyError:
        raise IllegalTransition(state, fact) from None


def diagram() -> str:
    """The table as a Mermaid state diagram; docs/sessions.md carries it."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.QUEUED}"]
    for state, moves in TRANSITIONS.items():
        lines += [f"    {state} --> {after}: {fact}" for fact, after in moves.items()]
    return "\n".join(lines)
