"""Kills what is left of an attempt whose supervisor was itself killed.

Without the subreaper the only mark left is the environment: each process of an attempt was born
with COORD_SESSION_ID and COORD_ATTEMPT. What cleared its environment is still found as long as
its parent is. The supervisor's ladder has no such gap; this is the second line.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass

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


async def kill_marked(session_id: str, attempt: int) -> Swept:
    """KILL everything that carries the marks of this attempt, until nothing does."""
    told: dict[tuple[int, int], Process] = {}
    deadline = time.monotonic() + _PATIENCE_S
    quiet = 0
    left: list[Process] = []
    while quiet < _QUIET_ROUNDS and time.monotonic() < deadline:
        left = await asyncio.to_thread(_kill_round, session_id, attempt, told)
        quiet = 0 if left else quiet + 1
        await asyncio.sleep(_PAUSE_S)
    alive = {process.identity for process in left}
    ended = tuple(process for key, process in told.items() if key not in alive)
    return Swept(ended, tuple(left))


def is_alive(pid: int, start_time: int) -> bool:
    """Whether this very process still runs; a zombie does not."""
    process = look(pid)
    return process is not None and process.start == start_time and not process.is_dead


def _kill_round(
    session_id: str, attempt: int, told: dict[tuple[int, int], Process]
) -> list[Process]:
    """Signal everyone who is marked, below somebody marked, or was told before and still lives."""
    found = _marked_trees(everyone(), session_id, attempt, told)
    for process in found:
        send(process, signal.SIGKILL)
        told[process.identity] = process
    return found


def _marked_trees(
    processes: list[Process], session_id: str, attempt: int, told: dict[tuple[int, int], Process]
) -> list[Process]:
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    queue = [
        process
        for process in processes
        if process.identity in told or _is_marked(process.pid, session_id, attempt)
    ]
    found: dict[int, Process] = {}
    for process in queue:  # grows while it is read
        if process.pid not in found and process.pid != os.getpid():
            found[process.pid] = process
            queue += children.get(process.pid, [])
    return list(found.values())


def _is_marked(pid: int, session_id: str, attempt: int) -> bool:
    """The attempt must match too, unless the process dropped that variable."""
    marks = read_proc(f"/proc/{pid}/environ").split(b"\0")
    if b"COORD_SESSION_ID=" + session_id.encode() not in marks:
        return False
    attempts = [mark for mark in marks if mark.startswith(b"COORD_ATTEMPT=")]
    return not attempts or b"COORD_ATTEMPT=%d" % attempt in attempts
