"""How an attempt ended, in the words of exit.json; pure."""

from __future__ import annotations

import os
from signal import Signals
from typing import TYPE_CHECKING, NamedTuple

from spoke.supervisor.agent import BUSY, NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Collection

    from spoke.supervisor.assignment import EndedProcess, Exit, Outcome
    from spoke.supervisor.reaper import Told
    from spoke.supervisor.tree import Process

_NAMED = 64


class Stop(NamedTuple):
    """The first stop order; ``late``: the leader had ended by itself before it came."""

    outcome: Outcome
    reason: str | None
    asked_at: int
    late: bool


class Ending(NamedTuple):
    """What was observed. ``status`` is waitpid's; None: the leader was never seen dead."""

    status: int | None
    ended_by: Signals | None
    stop: Stop | None
    told: Collection[Told]
    survivors: Collection[Process]


def verdict(ending: Ending, *, ended_at: int, dropped_bytes: int) -> Exit:
    """The whole record. A leader that had ended before the order keeps its own outcome."""
    exit_code, killer = _decode(ending.status)
    stop = ending.stop
    cause = stop if stop and not stop.late else None
    alive = {process.identity for process in ending.survivors}
    ended = [told for told in ending.told if told.process.identity not in alive]
    return {
        "outcome": cause.outcome if cause else "completed" if exit_code == 0 else "failed",
        "exitCode": exit_code,
        "signal": killer,
        "endedBy": ending.ended_by.name if ending.ended_by else "itself",
        "reason": cause.reason if cause else None,
        "message": None,
        "stopAskedAt": stop.asked_at if stop else None,
        "endedAt": ended_at,
        "processes": [_ended_process(told) for told in ended[:_NAMED]],
        "ended": len(ended),
        "survivors": len(ending.survivors),
        "droppedBytes": dropped_bytes,
    }


def never_started(reason: str, message: str, *, ended_at: int, advice: str | None = None) -> Exit:
    """The agent's program could not be started. ``advice``: better than that on its kind."""
    ending = Ending(None, None, None, (), ())
    exit: Exit = {
        **verdict(ending, ended_at=ended_at, dropped_bytes=0),
        "endedBy": "never_started",
        "reason": reason,
        "message": message,
    }
    if reason in (NOT_FOUND, BUSY):
        from protocol.failure import Failure, FailureKind  # others do not wait for it

        is_busy = reason == BUSY
        kind = FailureKind.AGENT_BUSY if is_busy else FailureKind.AGENT_MISSING
        failure = Failure(kind, message)
        said = failure.advice if advice is None else advice
        return {**exit, "failure": {**failure.body(), "advice": said}, "advice": said}
    return exit


def _decode(status: int | None) -> tuple[int | None, str | None]:
    if status is None:
        return None, None
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status), None
    number = os.WTERMSIG(status)
    try:
        return None, Signals(number).name
    except ValueError:  # the real-time signals have numbers only
        return None, f"SIG{number}"


def _ended_process(told: Told) -> EndedProcess:
    return {"pid": told.process.pid, "name": told.process.name, "endedBy": told.signal.name}
