"""Lowest priority, for what nobody waits for: processor and disk go to everybody else first."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
import threading
from pathlib import Path
from typing import Final

NICEST: Final = 19
NICE: Final = 10  #: for what somebody may come to wait for
_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30}
_IOPRIO_WHO_PROCESS: Final = 1
_IOPRIO_IDLE: Final = 3 << 13


def yield_to_all() -> None:
    """For the calling thread alone: on Linux both kinds of priority belong to threads."""
    if sys.platform == "linux":
        calm(threading.get_native_id())


def calm_session(leader: int) -> None:
    """For a process that leads a session. Where the kernel groups by session (autogroup), niceness
    counts within the session alone, and it is the group that has to be nice to the others."""
    calm(leader)
    with contextlib.suppress(OSError):  # no such kernel, no longer there, or asked too often
        Path(f"/proc/{leader}/autogroup").write_text(str(NICEST))


def calm(id: int, niceness: int = NICEST) -> None:
    """For the process or thread of this id, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, id, niceness)
    number = _IOPRIO_SET.get(platform.machine())
    if niceness == NICEST and sys.platform == "linux" and number is not None:
        ctypes.CDLL(None).syscall(number, _IOPRIO_WHO_PROCESS, id, _IOPRIO_IDLE)
