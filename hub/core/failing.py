"""What is done when an agent has failed: a table of steps for each kind of failure, and who may
take them. Pure.

Only a failure that an agent's own words were classified as gets here. A spoke that was lost, a hub
that was restarted, an order that was refused are no failures of an agent, and cost no try.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from protocol.failure import FailureKind


class Action(StrEnum):
    FRESH = "fresh"  #: the same agent, in a new conversation, with a handoff brief
    FALLBACK = "fallback"  #: the next of its chain
    WAIT = "wait"  #: the same conversation, once its account is open again
    STOP = "stop"  #: it has failed; a person decides


@dataclass(frozen=True, slots=True)
class Step:
    """``times``: how often for this kind of failure, as long as the agent is the same."""

    action: Action
    times: int | None = None


#: The first step that can be taken is. What is not here stops, and explains.
STEPS: Final[Mapping[FailureKind, Sequence[Step]]] = {
    FailureKind.CONTEXT_EXHAUSTED: (Step(Action.FRESH, 1), Step(Action.FALLBACK)),
    FailureKind.CONVERSATION_LOST: (Step(Action.FRESH, 3),),
    FailureKind.RATE_LIMITED: (Step(Action.FALLBACK), Step(Action.WAIT, 24)),
    FailureKind.AUTH_FAILED: (Step(Action.FALLBACK),),
    FailureKind.AGENT_MISSING: (Step(Action.FALLBACK),),
    FailureKind.SDK_ERROR: (Step(Action.FALLBACK),),
}

FIRST_WAIT: Final = timedelta(minutes=1)  #: where the provider does not say until when;
LONGEST_WAIT: Final = timedelta(hours=1)  #: doubled each time in a row, up to this
SHORTEST_WAIT: Final = timedelta(seconds=1)
FARTHEST_RESET: Final = timedelta(days=8)  #: what a provider says beyond that is not believed
IN_A_ROW: Final = timedelta(minutes=10)  #: after a limit was over, another one belongs to it
MOST_JITTER: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt's end."""

    attempt: int
    agent: str
    kind: FailureKind
    message: str
    retry_at: int | None = None  #: ms since 1970


@dataclass(frozen=True, slots=True)
class Before:
    """A failure before this one, and what was done about it."""

    kind: str
    action: str


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of the account, which may be over. ``open_at``: when the one before was."""

    until: datetime | None = None
    open_at: datetime | None = None
    strikes: int = 0


@dataclass(frozen=True, slots=True)
class Past:
    """``before``: since a person started the session last. ``chain``: agents to fall back to."""

    before: Sequence[Before]
    chain: Sequence[str]
    limit: Limit
    now: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """``link``: the place of the next agent in the chain. ``until`` and ``strikes``: of a wait."""

    action: Action
    why: str
    link: int | None = None
    until: datetime | None = None
    strikes: int = 0


def decide(failed: Failed, past: Past) -> Decision:
    for step in STEPS.get(failed.kind, ()):
        decision = _take(step, failed, past)
        if decision is not None:
            return decision
    return Decision(Action.STOP, str(failed.kind))


def jitter(limited_at: datetime, until: datetime) -> timedelta:
    """Over how long those who waited are woken: a tenth of the wait, so that a short one stays
    short."""
    return min(MOST_JITTER, max(SHORTEST_WAIT / 2, (until - limited_at) / 10))


def _take(step: Step, failed: Failed, past: Past) -> Decision | None:
    match step.action:
        case Action.FALLBACK:
            link = sum(one.action == Action.FALLBACK for one in past.before)
            if link >= len(past.chain):
                return None
            why = f"{failed.kind}: it goes on with {past.chain[link]}, in a new conversation"
            return Decision(Action.FALLBACK, why, link)
        case _ if step.times is not None and _taken(step, failed, past) >= step.times:
            return None
        case Action.FRESH:
            why = f"{failed.kind}: tried again in a new conversation, with a handoff brief"
            return Decision(Action.FRESH, why)
        case _:
            return _wait(failed, past)


def _taken(step: Step, failed: Failed, past: Past) -> int:
    """How often that was done for this kind, since its agent is the one that it is."""
    done = 0
    for one in past.before:
        if one.action == Action.FALLBACK:
            done = 0
        elif one.action == step.action and one.kind == failed.kind:
            done += 1
    return done


def _wait(failed: Failed, past: Past) -> Decision:
    limit, now = past.limit, past.now
    is_on = limit.until is not None and limit.until > now
    strikes = limit.strikes if is_on else limit.strikes + 1 if _is_in_a_row(limit, now) else 1
    until = _reset(failed.retry_at, strikes, now)
    if limit.until is not None and is_on:
        until = max(until, limit.until)
    why = f"{failed.kind}: it waits until {until:%Y-%m-%d %H:%M:%S} UTC"
    return Decision(Action.WAIT, why, until=until, strikes=strikes)


def _is_in_a_row(limit: Limit, now: datetime) -> bool:
    over = limit.until or limit.open_at
    return over is not None and now - over < IN_A_ROW


def _reset(retry_at: int | None, strikes: int, now: datetime) -> datetime:
    if retry_at is not None:
        away = retry_at - int(now.timestamp() * 1_000)
        if away < FARTHEST_RESET / timedelta(milliseconds=1):
            return now + max(timedelta(milliseconds=max(away, 0)), SHORTEST_WAIT)
    doubled: int = 1 << min(strikes - 1, 10)
    return now + min(FIRST_WAIT * doubled, LONGEST_WAIT)
