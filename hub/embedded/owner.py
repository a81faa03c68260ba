"""One owner for one directory: a lock that ends with its process and names it."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from protocol.errors import Conflict

_UNNAMED_S: Final = 0.1  #: how long a new owner may take to write its pid behind its lock
_POLL_S: Final = 0.005


class Owner:
    """Holds `folder` for this process: `with Owner(folder): ...`.

    The folder is made (0700) if it is missing. Entering raises Conflict (ALREADY_RUNNING, with
    the other's `pid` in its details). The kernel releases the lock when the process dies; the
    file itself stays, since to remove it would let two processes lock two files of one name.
    """

    def __init__(self, folder: Path, name: str = "owner.lock") -> None:
        self.folder = folder
        self.file = folder / name
        self._fd: int | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_name(fd, b"%d\n" % os.getpid())
        except BlockingIOError:
            pid = _wait_named(fd)
            os.close(fd)
            raise self._taken(pid) from None
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            _write_name(fd, b"")
            os.close(fd)

    def _taken(self, pid: int | None) -> Conflict:
        return Conflict(
            "ALREADY_RUNNING",
            f"{self.folder} is in use by pid {'(not known yet)' if pid is None else pid}",
            advice="stop that process, or name another data directory",
            details={"pid": pid},
        )


def _write_name(fd: int, name: bytes) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, name, 0)


def _wait_named(fd: int) -> int | None:
    """The pid in the file; None if its owner still has not written it after a moment."""
    until = time.monotonic() + _UNNAMED_S
    while not (name := os.pread(fd, 32, 0).strip()).isdigit():
        if time.monotonic() >= until:
            return None
        time.sleep(_POLL_S)
    return int(name)
