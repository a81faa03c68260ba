"""Ends the servers that a killed owner left running on a data directory."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Final

from protocol.errors import Unavailable

_FAST_S: Final = 20.0  #: a fast shutdown writes a checkpoint
_IMMEDIATE_S: Final = 5.0
_KILLED_S: Final = 5.0


class Pinned:
    """A process held by a pidfd: its number cannot come to mean another one meanwhile."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError."""
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def close(self) -> None:
        os.close(self._fd)

    def serves(self, cluster: Path) -> bool:
        """Whether it is a PostgreSQL process of this very directory (they all work in it)."""
        process = Path("/proc", str(self.pid))
        try:
            # "postgres (deleted)" after an upgrade of the binaries.
            program = (process / "exe").readlink().name
            return program.startswith("postgres") and (process / "cwd").samefile(cluster)
        except OSError:
            return False

    def end(self, number: signal.Signals, within_s: float) -> bool:
        """Signal it and wait; whether it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, number)
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(within_s * 1000))


def stop_orphans(cluster: Path, sockets: Path) -> None:
    """Shut down whatever still runs on `cluster`, and remove its stale lock files. Blocks.

    To be called by the owner of the directory only. Raises Unavailable (POSTGRES_LINGERS).
    """
    pid_file = cluster / "postmaster.pid"
    if not pid_file.exists():
        return
    leader = postmaster_pid(cluster)
    if leader is not None:
        _shut_down(leader, cluster)
    _kill_rest(cluster)
    # PostgreSQL would refuse to start if the number in them were a zombie's, or had become that
    # of another process of ours. The pid file goes last: it is what brings us here.
    for left in (*sockets.glob(".s.PGSQL.*"), pid_file):
        left.unlink(missing_ok=True)


def postmaster_pid(cluster: Path) -> int | None:
    """The pid that the server of `cluster` wrote down, if any; it may be long dead."""
    lines = _pid_file_lines(cluster)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def is_ready(cluster: Path, pid: int) -> bool:
    """Whether the server `pid` says in its pid file that it takes connections."""
    lines = _pid_file_lines(cluster)
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _pid_file_lines(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _shut_down(pid: int, cluster: Path) -> None:
    with _pinned(pid, cluster) as process:
        if process is not None and not process.end(signal.SIGINT, _FAST_S):
            process.end(signal.SIGQUIT, _IMMEDIATE_S)


def _kill_rest(cluster: Path) -> None:
    """Kill children that outlive their postmaster: their shared memory would bar a start."""
    for pid in [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]:
        with _pinned(pid, cluster) as process:
            if process is not None and not process.end(signal.SIGKILL, _KILLED_S):
                raise Unavailable(
                    "POSTGRES_LINGERS",
                    f"process {pid} of an earlier server on {cluster} does not die",
                    advice="look for a stuck disk, then try again",
                    details={"pid": pid},
                )


@contextlib.contextmanager
def _pinned(pid: int, cluster: Path) -> Generator[Pinned | None]:
    """The process, if it lives and serves `cluster`."""
    try:
        process = Pinned(pid)
    except OSError:
        yield None
        return
    try:
        yield process if process.serves(cluster) else None
    finally:
        process.close()
