"""Kills what is left of an attempt whose supervisor was itself killed.

Without the subreaper two marks are left: the control group of the supervisor, where there are any,
and the environment: each process of an attempt was born with COORD_SESSION_ID and COORD_ATTEMPT.
What cleared its environment is, without a group, still found as long as its parent is. The
supervisor's ladder has no such gap; this is the second line.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from spoke import groups
from spoke.supervisor.tree import Process, boot_id, everyone, look, read_proc, send

__all__ = ["Swept", "boot_id", "is_alive", "kill_marked"]

_PATIENCE_S = 10.0
_PAUSE_S = 0.005
_QUIET_ROUNDS = 2  # in the middle of an exec a process shows no environment: look twice


@dataclass(frozen=True, slots=True)
class Swept:
    """``ended`` were killed and seen gone; ``survivors`` outlived the patience."""

    ended: tuple[Process, ...]
    survivors: tuple[Process, ...]


async def kill_marked(session_id: str, attempt: int, group: Path | None = None) -> Swept:
    """KILL everything that carries the marks of this attempt, until nothing does."""
    marks = _Marks(session_id, attempt, group)
    told: dict[tuple[int, int], Process] = {}
    deadline = time.monotonic() + _PATIENCE_S
    quiet = 0
    left: list[Process] = []
    while quiet < _QUIET_ROUNDS and time.monotonic() < deadline:
        left = await asyncio.to_thread(_kill_round, marks, told)
        quiet = 0 if left else quiet + 1
        await asyncio.sleep(_PAUSE_S)
    alive = {process.identity for process in left}
    ended = tuple(process for key, process in told.items() if key not in alive)
    return Swept(ended, tuple(left))


def is_alive(pid: int, start_time: int) -> bool:
    """Whether this very process still runs; a zombie does not."""
    process = look(pid)
    return process is not None and process.start == start_time and not process.is_dead


@dataclass(frozen=True, slots=True)
class _Marks:
    session_id: str
    attempt: int
    group: Path | None


def _kill_round(marks: _Marks, told: dict[tuple[int, int], Process]) -> list[Process]:
    """Signal everyone who is marked, below somebody marked, or was told before and still lives."""
    found = _marked_trees(everyone(), marks, told)
    for process in found:
        send(process, signal.SIGKILL)
        told[process.identity] = process
    if found and marks.group is not None:
        groups.kill(marks.group)  # also what they forked meanwhile
    return found


def _marked_trees(
    processes: list[Process], marks: _Marks, told: dict[tuple[int, int], Process]
) -> list[Process]:
    grouped: set[int] = set() if marks.group is None else groups.members(marks.group)
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    queue = [
        process
        for process in processes
        if process.identity in told or process.pid in grouped or _is_marked(process.pid, marks)
    ]
    found: dict[int, Process] = {}
    for process in queue:  # grows while it is read
        if process.pid not in found and process.pid != os.getpid():
            found[process.pid] = process
            queue += children.get(process.pid, [])
    return list(found.values())


def _is_marked(pid: int, sought: _Marks) -> bool:
    """The attempt must match too, unless the process dropped that variable."""
    marks = read_proc(f"/proc/{pid}/environ").split(b"\0")
    if b"COORD_SESSION_ID=" + sought.session_id.encode() not in marks:
        return False
    attempts = [mark for mark in marks if mark.startswith(b"COORD_ATTEMPT=")]
    return not attempts or b"COORD_ATTEMPT=%d" % sought.attempt in attempts
