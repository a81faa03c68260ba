"""The process tree as /proc shows it, and signals that cannot hit a stranger.

A process is known by (pid, start time): a pid comes round again, the pair does not before the next
boot. Signals go through a pidfd opened before the start time is compared, so that a pid which was
reused in between is never hit.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")
_HAS_CHILDREN = os.access("/proc/thread-self/children", os.R_OK)
_LIBC = ctypes.CDLL(None, use_errno=True)


class Process(NamedTuple):
    """``start`` is field 22 of /proc/pid/stat: clock ticks since boot."""

    pid: int
    start: int
    parent: int
    state: str
    name: str
    threads: int

    @property
    def identity(self) -> tuple[int, int]:
        return self.pid, self.start

    @property
    def is_dead(self) -> bool:
        """A zombie has ended; only its entry waits to be collected."""
        return self.state in "ZX"


def look(pid: int) -> Process | None:
    """The process that has this pid now."""
    text = read_proc(f"/proc/{pid}/stat", in_one=True)
    if not text:
        return None
    name_end = text.rindex(b")")  # the name may hold spaces and brackets itself
    fields = text[name_end + 2 :].split()
    name = text[text.index(b"(") + 1 : name_end].decode("utf-8", "replace")
    start, parent, threads = int(fields[19]), int(fields[1]), int(fields[17])
    return Process(pid, start, parent, fields[0].decode(), name, threads)


def descendants(root: int) -> list[Process]:
    """Everything alive below ``root``, parents first. Processes born meanwhile may be missing."""
    if not _HAS_CHILDREN:
        return _below(root, everyone())
    return _walk(_children_of_threads(root))


def below_us() -> list[Process]:
    """The same below this thread, whose process has no other."""
    if not _HAS_CHILDREN:
        return _below(os.getpid(), everyone())
    return _walk(_children("/proc/thread-self"))


def everyone() -> list[Process]:
    """All processes of the machine that are alive."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - pathlib costs 10 ms at start
    return [process for pid in pids if (process := look(pid)) and not process.is_dead]


def send(process: Process, number: signal.Signals) -> bool:
    """Signal exactly this process; False when it is gone already, or not ours to signal."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        present = look(process.pid)
        if present is None or present.start != process.start:
            return False
        signal.pidfd_send_signal(handle, number)
    except (ProcessLookupError, PermissionError):  # sudo: it stays, and is told as a survivor
        return False
    finally:
        os.close(handle)
    return True


def become_subreaper() -> None:
    """Orphans of our descendants become our children instead of init's. Raises ``OSError``."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel KILL this process when its parent ends. Raises ``OSError``."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def boot_id() -> str:
    """Changes with each boot of the machine."""
    return read_proc("/proc/sys/kernel/random/boot_id").decode().strip()


def ticks_now() -> int:
    """The present, in the unit of ``Process.start``."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)


def read_proc(path: str, *, in_one: bool = False) -> bytes:
    """A small file of /proc, whole; empty when the process is gone, or not ours to read.

    ``in_one``: the kernel gives this one in one piece.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
    parts: list[bytes] = []
    try:
        while part := os.read(fd, 65536):
            parts.append(part)
            if in_one:
                break
    except ProcessLookupError:
        return b""
    finally:
        os.close(fd)
    return b"".join(parts)


def _below(root: int, processes: list[Process]) -> list[Process]:
    """The same from the parents' numbers: slower, for kernels built without the children files."""
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    found = list(children.get(root, []))
    for process in found:  # grows while it is read
        found += children.get(process.pid, [])
    return found


def _walk(queue: list[int]) -> list[Process]:
    found: list[Process] = []
    for pid in queue:  # grows while it is read
        process = look(pid)
        if process is None:
            continue
        if not process.is_dead:
            found.append(process)
        is_single = process.threads == 1
        queue += _children(f"/proc/{pid}/task/{pid}") if is_single else _children_of_threads(pid)
    return found


def _children_of_threads(pid: int) -> list[int]:
    folder = f"/proc/{pid}/task"
    try:
        threads = os.listdir(folder)  # noqa: PTH208 - pathlib costs 10 ms at start
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [child for thread in threads for child in _children(f"{folder}/{thread}")]


def _children(thread: str) -> list[int]:
    return [int(pid) for pid in read_proc(f"{thread}/children").split()]


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
