"""A supervisor from its birth: waits for one assignment on stdin, then is that attempt's process.

Until the assignment comes it is a warm spare, which dies with whoever holds the other end of its
stdin.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from spoke.supervisor import cradle, tree
from spoke.supervisor.agent import SpawnFailed
from spoke.supervisor.assignment import encode
from spoke.supervisor.attempt import Attempt
from spoke.supervisor.unborn import SPAWN_FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from spoke.supervisor.assignment import Assignment

_SURVIVED = frozenset(
    {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGPIPE,
        signal.SIGXFSZ,
        signal.SIGCHLD,  # not harmful, but only a signal with a handler wakes the selector
    }
)


def main(group: str | None, doors: str | None) -> None:
    """Run one attempt; returns at once when stdin ends before an assignment came.

    ``group``: the control group that this process is in, with all that it starts. ``doors``: where
    its socket may wait for the name that an assignment gives it.
    """
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # what a careless parent left open
    _take_signals()
    tree.become_subreaper()
    with suppress(BrokenPipeError):
        os.write(1, encode({"pid": os.getpid()}) + b"\n")
    prepared = cradle.make(group, doors)
    line = _read_line()
    if not line:
        prepared.leave()
        return
    assignment: Assignment = json.loads(line)
    _detach(assignment["dir"])
    try:
        attempt = Attempt(assignment, prepared)
    except SpawnFailed as failed:
        prepared.unborn.dismiss()
        _reply({"ok": False, "reason": failed.reason, "message": failed.message})
        return
    except OSError as error:
        prepared.wall_up()
        _reply({"ok": False, "reason": SPAWN_FAILED, "message": f"the supervisor: {error}"})
        raise
    _reply({"ok": True, "pid": attempt.leader.pid})
    attempt.run()
    os._exit(0)  # to take its objects apart one by one would take as long as the end itself


def _take_signals() -> None:
    """Functions, not SIG_IGN: an exec resets them, so that the agent starts with the defaults.

    What was blocked or ignored by whoever started us would be inherited by the agent as well.
    """
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, _carry_on if number in _SURVIVED else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _carry_on(_number: int, _frame: FrameType | None) -> None:
    """Only a stop order, or KILL, ends a supervisor."""


def _read_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        try:
            chunk = os.read(0, 1 << 20)
        except ConnectionResetError:  # the daemon died with a word of ours unread
            return b""
        if not chunk:
            return b""
        line += chunk
    return line


def _detach(folder: str) -> None:
    """Hold nothing of the daemon's: no folder, no stdin, no stderr."""
    os.chdir("/")
    log = os.open(f"{folder}/supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    os.close(log)
    _to_null(0)


def _reply(answer: Mapping[str, object]) -> None:
    """Tell the daemon; if it died meanwhile, the next one reads the spool."""
    with suppress(BrokenPipeError):
        os.write(1, encode(answer) + b"\n")
    _to_null(1)


def _to_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, number)
    os.close(null)
