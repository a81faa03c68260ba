"""Collects the dead of one agent's tree, remembers how its leader ended, and signals the living."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from spoke.supervisor import tree

if TYPE_CHECKING:
    from signal import Signals

    from spoke.supervisor.ladder import Rung


class Told(NamedTuple):
    """A process that was signalled, and the last signal it got."""

    process: tree.Process
    signal: Signals


class Reaper:
    """As the subreaper of the tree, this process has children for as long as anything is left."""

    def __init__(self, leader: tree.Process) -> None:
        self._leader = leader
        self.leader_status: int | None = None  # as waitpid gives it
        self.leader_ended_by: Signals | None = None
        self.is_empty = False
        self.told: dict[tuple[int, int], Told] = {}

    def collect(self) -> None:
        """Reap every zombie; then we know whether the leader lives and whether anything is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.is_empty = True
                return
            if pid == 0:
                return
            if pid == self._leader.pid and self.leader_status is None:
                self.leader_status = status
                told = self.told.get(self._leader.identity)
                self.leader_ended_by = told and told.signal

    def tell(self, rung: Rung, born_before: int | None) -> None:
        """Send the rung's signal to each process that has not had it.

        A sweep after the first of a rung gives the clock ticks at which the rung began: who was
        not yet born then is newborn.
        """
        for process in tree.below_us():
            told = self.told.get(process.identity)
            if told is not None and told.signal == rung.signal:
                continue
            if born_before is not None and process.start >= born_before and not rung.newborn:
                continue
            if _send(process, rung.signal):
                self.told[process.identity] = Told(process, rung.signal)

    def survivors(self) -> list[tree.Process]:
        return [] if self.is_empty else tree.below_us()


def _send(process: tree.Process, signal: Signals) -> bool:
    """As `tree.send`. The pid of a child of ours is nobody else's until we have collected it."""
    if process.parent != os.getpid():
        return tree.send(process, signal)
    try:
        os.kill(process.pid, signal)
    except (ProcessLookupError, PermissionError):  # as there
        return False
    return True
