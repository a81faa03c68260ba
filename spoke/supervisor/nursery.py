"""Entry of the nursery: has a supervisor's code loaded, and forks a supervisor when asked for one.

An interpreter that begins and imports costs fifty times the CPU of a fork of one that has done so.
On stdin it is handed, one message each, the far ends of lines to supervisors that shall be. It
ends when whoever holds the other end of its stdin does; the supervisors that have work do not.
"""

from __future__ import annotations

import gc
import os
import signal
import socket

from spoke.supervisor import group
from spoke.supervisor import main as supervisor


def main(groups: str | None, doors: str | None) -> None:
    """Returns in the nursery when nobody wants more, and in each supervisor when it is done.

    ``groups`` is the control group in which each gets its own, ``doors`` the folder of sockets.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel collects them
    gc.freeze()  # else the first collection of each child would copy every page
    requests = socket.socket(fileno=0)
    while (line := _next(requests)) is not None:
        if os.fork() == 0:
            requests.detach()  # its number is about to be the line's
            _take_place(line)
            supervisor.main(groups and group.enter(groups), doors)
            return
        os.close(line)


def _next(requests: socket.socket) -> int | None:
    said, lines, _, _ = socket.recv_fds(requests, 1, 1)
    return lines[0] if said else None


def _take_place(line: int) -> None:
    """Hold the line where a supervisor expects it, and nothing of the nursery's."""
    os.dup2(line, 0)
    os.dup2(line, 1)
    os.setsid()
