"""What a supervisor does before it has work, while nobody waits: who it is, how it will wake."""

from __future__ import annotations

import json
import os
import selectors
import signal
from typing import NamedTuple

from spoke.supervisor import tree
from spoke.supervisor.assignment import encode


class Cradle(NamedTuple):
    """``identity``: of which supervisor.json is made. ``selector`` hears the deaths already."""

    identity: bytes
    selector: selectors.BaseSelector


def make(group: str | None) -> Cradle:
    me = tree.look(os.getpid())
    found = {"pid": os.getpid(), "startTime": me.start if me else 0, "bootId": tree.boot_id()}
    identity = encode({**found, "group": group})
    json.loads(identity)  # the first touch after a fork copies memory: an assignment comes next
    selector = selectors.DefaultSelector()
    _wake_on_deaths(selector)
    return Cradle(identity, selector)


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
