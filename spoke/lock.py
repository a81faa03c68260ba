"""One daemon for each state directory: a lock file that names who holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import FailedPrecondition


@contextmanager
def hold(path: Path) -> Generator[None]:
    """Hold the lock. Raises FailedPrecondition (SPOKE_RUNNING), which names the other's pid."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held(path, os.pread(fd, 32, 0).decode(errors="replace").strip()) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def _held(path: Path, pid: str) -> FailedPrecondition:
    return FailedPrecondition(
        "SPOKE_RUNNING",
        f"a spoke daemon runs on {path.parent} already, pid {pid or 'unknown'}",
        advice="stop it first, or give this one a state directory of its own",
        details={"pid": int(pid) if pid.isdecimal() else None},
    )
