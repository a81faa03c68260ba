"""The kill ladder, pure: what was seen of the tree and what was ordered -> the next rung.

A stop climbs INTERRUPTING -> TERMINATING -> KILLING -> GIVEN_UP as its times run out. When the
leader (the agent itself) is gone, what it left behind need not wait for the ladder: TERM at once,
KILL soon after. Times are monotonic milliseconds.
"""

from __future__ import annotations

from enum import StrEnum
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Phase(StrEnum):
    WATCHING = "watching"  # the agent works, nothing was asked
    INTERRUPTING = "interrupting"
    TERMINATING = "terminating"
    KILLING = "killing"
    TIDYING = "tidying"  # the leader ended by itself and left processes behind
    CLEARING = "clearing"  # the leader ended during a stop and left processes behind
    EMPTY = "empty"  # seen: nothing is left
    GIVEN_UP = "given_up"  # the last sweep is over and something still lives


class Cause(StrEnum):
    NOTHING_LEFT = "nothing_left"
    LEADER_GONE = "leader_gone"
    TIME_IS_UP = "time_is_up"
    STOP = "stop"
    STOP_NOW = "stop_now"


class Times(NamedTuple):
    """When each rung comes, in milliseconds after the stop was asked."""

    term_ms: int = 8_000
    kill_ms: int = 16_000
    sweep_ms: int = 25_000


class Rung(NamedTuple):
    """What a phase does: the signal it sends, and whether processes born since get it too.

    An agent that obeys INT may start a process to clean up; only KILL takes the newborn as well.
    """

    signal: Signals
    newborn: bool = False


class Ladder(NamedTuple):
    phase: Phase = Phase.WATCHING
    since: int = 0


RUNGS: Mapping[Phase, Rung] = {
    Phase.INTERRUPTING: Rung(SIGINT),
    Phase.TERMINATING: Rung(SIGTERM),
    Phase.TIDYING: Rung(SIGTERM),
    Phase.CLEARING: Rung(SIGTERM),
    Phase.KILLING: Rung(SIGKILL, newborn=True),
}

ENDS = frozenset({Phase.EMPTY, Phase.GIVEN_UP})

TIDY_MS = 2_000
CLEAR_MS = 500

MOVES: Mapping[tuple[Phase, Cause], Phase] = {
    (Phase.WATCHING, Cause.STOP): Phase.INTERRUPTING,
    (Phase.WATCHING, Cause.STOP_NOW): Phase.KILLING,
    (Phase.WATCHING, Cause.NOTHING_LEFT): Phase.EMPTY,
    (Phase.WATCHING, Cause.LEADER_GONE): Phase.TIDYING,
    (Phase.INTERRUPTING, Cause.STOP_NOW): Phase.KILLING,
    (Phase.INTERRUPTING, Cause.NOTHING_LEFT): Phase.EMPTY,
    (Phase.INTERRUPTING, Cause.LEADER_GONE): Phase.CLEARING,
    (Phase.INTERRUPTING, Cause.TIME_IS_UP): Phase.TERMINATING,
    (Phase.TERMINATING, Cause.STOP_NOW): Phase.KILLING,
    (Phase.TERMINATING, Cause.NOTHING_LEFT): Phase.EMPTY,
    (Phase.TERMINATING, Cause.LEADER_GONE): Phase.CLEARING,
    (Phase.TERMINATING, Cause.TIME_IS_UP): Phase.KILLING,
    (Phase.TIDYING, Cause.STOP): Phase.CLEARING,
    (Phase.TIDYING, Cause.STOP_NOW): Phase.KILLING,
    (Phase.TIDYING, Cause.NOTHING_LEFT): Phase.EMPTY,
    (Phase.TIDYING, Cause.TIME_IS_UP): Phase.KILLING,
    (Phase.CLEARING, Cause.STOP_NOW): Phase.KILLING,
    (Phase.CLEARING, Cause.NOTHING_LEFT): Phase.EMPTY,
    (Phase.CLEARING, Cause.TIME_IS_UP): Phase.KILLING,
    (Phase.KILLING, Cause.NOTHING_LEFT): Phase.EMPTY,
    (Phase.KILLING, Cause.TIME_IS_UP): Phase.GIVEN_UP,
}


def ordered(ladder: Ladder, cause: Cause, now: int) -> Ladder:
    """After a stop order; asking again changes nothing unless it is more urgent."""
    phase = MOVES.get((ladder.phase, cause))
    return ladder if phase is None else Ladder(phase, now)


def seen(ladder: Ladder, times: Times, now: int, *, leader: bool, left: bool) -> Ladder:
    """After a look: is the leader alive, is anything (leader included) left, what time is it."""
    causes = {
        Cause.NOTHING_LEFT: not left,
        Cause.LEADER_GONE: not leader,
        Cause.TIME_IS_UP: _is_up(ladder, times, now),
    }
    for cause, holds in causes.items():
        phase = MOVES.get((ladder.phase, cause))
        if holds and phase is not None:
            return Ladder(phase, now)
    return ladder


def sweep_at(ladder: Ladder, times: Times, now: int, took: int = 0) -> int | None:
    """When to look at the tree again if nothing happens before; None: wait for a death.

    Often at first, when a process may have slipped through between the walk and the signal, then
    seldom: deaths wake the supervisor by themselves. ``took``: the last look; but for what is
    killed, and may fork meanwhile, there is time to die between two.
    """
    if ladder.phase not in RUNGS:
        return None
    pause = min(max((now - ladder.since) // 4, 1), 10 if ladder.phase is Phase.KILLING else 100)
    if ladder.phase is not Phase.KILLING:
        pause = max(pause, 4 * took)
    due = _due(ladder, times)
    return now + pause if due is None else min(due, now + pause)


def _is_up(ladder: Ladder, times: Times, now: int) -> bool:
    due = _due(ladder, times)
    return due is not None and now >= due


def _due(ladder: Ladder, times: Times) -> int | None:
    patience = {
        Phase.INTERRUPTING: times.term_ms,
        Phase.TERMINATING: times.kill_ms - times.term_ms,
        Phase.KILLING: times.sweep_ms - times.kill_ms,
        Phase.TIDYING: TIDY_MS,
        Phase.CLEARING: CLEAR_MS,
    }.get(ladder.phase)
    return None if patience is None else ladder.since + patience
