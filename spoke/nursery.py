"""The nursery, a process that forks supervisors, and those that it bore, until they are at work."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self, cast

from protocol.errors import Unavailable
from spoke.supervisor.assignment import Assignment
from spoke.supervisor.doorway import SPARE

_CHUNK: Final = 4096
# Without the interpreter's teardown, which would take ten times as long as the end itself.
_BOOT: Final = (
    "import os, sys; sys.path.append({root!r}); "
    "from spoke.supervisor.nursery import main; main({groups!r}, {doors!r}); os._exit(0)"
)


class Nursery:
    """``root`` is the folder that holds the spoke package, ``groups`` where control groups go,
    ``doors`` where the sockets of those without work are."""

    def __init__(self, root: Path, groups: Path | None, doors: Path | None) -> None:
        self._boot = _BOOT.format(
            root=str(root), groups=groups and str(groups), doors=doors and str(doors)
        )
        self._pid: int | None = None
        self._requests: socket.socket | None = None

    def bear(self) -> Newborn:
        """A new supervisor. Raises ``OSError`` as ``posix_spawn`` does."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                self._ask(theirs)
            except ConnectionError:  # it was killed
                self._bury()
                self._ask(theirs)
        return Newborn(ours)

    async def close(self) -> None:
        """Those that it bore live on."""
        await asyncio.to_thread(self._bury)

    def _ask(self, line: socket.socket) -> None:
        if self._requests is None:
            self._begin()
        assert self._requests is not None  # noqa: S101 - it has begun
        socket.send_fds(self._requests, [b"+"], [line.fileno()])

    def _begin(self) -> None:
        """Half a millisecond, whatever the size of this process: posix_spawn copies no memory."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", "-c", self._boot],
                {},
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
                setsid=True,
                setsigmask=[],
            )
        self._requests = ours

    def _bury(self) -> None:
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        if self._pid is not None:
            os.waitpid(self._pid, 0)
            self._pid = None


def forget_spares(doors: Path) -> None:
    """What a crash left of supervisors without work."""
    for path in doors.glob(f"{SPARE}*"):
        with suppress(IsADirectoryError, FileNotFoundError):  # not ours; gone by itself
            path.unlink()


class Newborn:
    """A supervisor without work, or about to get some, at the other end of its stdin and stdout.

    The first thing it says is who it is; the second, how the start went. Then it hangs up.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._said = b""
        self._is_gone = False

    @property
    def is_gone(self) -> bool:
        """Whether it hung up, which one without work does by ending."""
        try:
            while not self._is_gone:
                self._take_in(self._line.recv(_CHUNK))
        except BlockingIOError:
            pass
        except ConnectionError:
            self._is_gone = True
        return self._is_gone

    @property
    def pid(self) -> int:
        """Raises ``Unavailable`` when it has not said so."""
        return cast("int", self._heard(0)["pid"])

    async def met(self) -> Self:
        """Once it has said who it is."""
        await self._listen(1)
        return self

    async def assign(self, assignment: Assignment) -> Mapping[str, object]:
        """Hand over the work and hear how the start went.

        Only to one that we know by its pid: no other could be killed once it has work.
        """
        await self._listen(1)
        with suppress(ConnectionError):
            line = json.dumps(assignment).encode() + b"\n"
            await asyncio.get_running_loop().sock_sendall(self._line, line)
        await self._listen(2)
        try:
            return self._heard(1)
        except Unavailable as lost:
            raise Unavailable(
                lost.reason,
                lost.message,
                advice=f"its last words are in {assignment['dir']}/supervisor.log",
            ) from None

    async def dismiss(self) -> None:
        """Returns when it has ended."""
        try:
            handle = os.pidfd_open((await self.met()).pid)
        except (Unavailable, ProcessLookupError):
            self.hang_up()
            return
        self.hang_up()
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(handle, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)

    def kill(self) -> None:
        """Its agent dies with it. One that has not introduced itself has no work: it hangs up."""
        if self.is_gone or not self._lines:
            return
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        if not self.is_gone:  # else the pid may be somebody else's by now
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)

    def hang_up(self) -> None:
        self._line.close()

    @property
    def _lines(self) -> list[bytes]:
        return self._said.split(b"\n")[:-1]

    def _heard(self, which: int) -> Mapping[str, object]:
        if len(self._lines) <= which:
            raise Unavailable("SUPERVISOR_LOST", "a supervisor ended before it answered")
        return cast("Mapping[str, object]", json.loads(self._lines[which]))

    async def _listen(self, lines: int) -> None:
        """Until it has said so many, or hung up."""
        loop = asyncio.get_running_loop()
        try:
            while not self.is_gone and len(self._lines) < lines:
                self._take_in(await loop.sock_recv(self._line, _CHUNK))
        except ConnectionError:
            self._is_gone = True

    def _take_in(self, chunk: bytes) -> None:
        self._said += chunk
        self._is_gone = not chunk
