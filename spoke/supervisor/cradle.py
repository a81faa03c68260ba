"""What a supervisor does before it has work, while nobody waits: who it is, how it will wake, and
the process that will be its agent."""

from __future__ import annotations

import json
import os
import selectors
import signal
from contextlib import suppress
from typing import NamedTuple

from spoke.supervisor import tree, unborn
from spoke.supervisor.assignment import encode
from spoke.supervisor.doorway import SPARE, Doorway
from spoke.supervisor.unborn import Unborn


class Cradle(NamedTuple):
    """``identity``: of which supervisor.json is made. ``selector`` hears the deaths already.
    ``doorway``: nobody who knocks there is heard before there is work."""

    identity: bytes
    selector: selectors.BaseSelector
    unborn: Unborn
    doorway: Doorway | None

    def doorway_at(self, path: str) -> Doorway:
        """Raises OSError."""
        if self.doorway is not None:
            with suppress(OSError):  # somebody has tidied up there
                return self.doorway.moved(path)
        return Doorway.at(path)

    def leave(self) -> None:
        """There is no work."""
        self.wall_up()
        self.unborn.dismiss()

    def wall_up(self) -> None:
        """Nothing is left of the doorway where it was made."""
        if self.doorway is not None:
            self.doorway.unlink()


def make(group: str | None, doors: str | None) -> Cradle:
    agent = unborn.conceive()
    me = tree.look(os.getpid())
    found = {"pid": os.getpid(), "startTime": me.start if me else 0, "bootId": tree.boot_id()}
    identity = encode({**found, "group": group})
    json.loads(identity)  # the first touch after a fork copies memory: an assignment comes next
    selector = selectors.DefaultSelector()
    _wake_on_deaths(selector)
    return Cradle(identity, selector, agent, _doorway(doors) if doors else None)


def _doorway(doors: str) -> Doorway | None:
    """None: the disk does not take it. Should it be so still when there is work, that is told."""
    with suppress(OSError):
        return Doorway.at(f"{doors}/{SPARE}{os.getpid()}")
    return None


def _wake_on_deaths(selector: selectors.BaseSelector) -> None:
    """SIGCHLD comes through a pipe. Each orphan of the tree becomes our child, so that the
    last death of a tree always rings here, whoever the parent was.
    """
    bell, ringer = os.pipe()
    os.set_blocking(bell, False)
    os.set_blocking(ringer, False)
    signal.set_wakeup_fd(ringer, warn_on_full_buffer=False)

    def on_ring(_mask: int) -> None:
        os.read(bell, 4096)

    selector.register(bell, selectors.EVENT_READ, on_ring)
