"""Supervisors as the daemon sees them: warm spares, a start, and a line to each that runs."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from protocol.errors import DeadlineExceeded, FailedPrecondition, Unavailable
from spoke.line import Delivery, Supervisor
from spoke.supervisor.assignment import Assignment, EndedProcess, Exit, LadderTimes

__all__ = [
    "Assignment",
    "Delivery",
    "EndedProcess",
    "Exit",
    "LadderTimes",
    "Started",
    "Supervisor",
    "Supervisors",
]

_log = logging.getLogger(__name__)

_ROOT = Path(__file__).parent.parent
_START_S = 10.0
_REFILL_S = 0.05  # a spare is made after the spawn that took the last one, not beside it

_BOOT = "import sys; sys.path.append({root!r}); from spoke.supervisor.main import main; main()"


@dataclass(frozen=True, slots=True)
class Started:
    """The agent's pid, and that of the supervisor above it."""

    pid: int
    supervisor_pid: int


class Supervisors:
    """Starts one supervisor per attempt; ``root`` is the folder that holds the spoke package.

    Spares die with this process; a supervisor that has its assignment does not.
    """

    def __init__(self, root: Path = _ROOT, spares: int = 1) -> None:
        self._boot = _BOOT.format(root=str(root))
        self._wanted = spares
        self._spares: list[_Child] = []
        self._children: set[_Child] = set()
        self._refill: asyncio.Task[None] | None = None

    def warm(self) -> None:
        """Make the spares now. Raises ``OSError`` as ``posix_spawn`` does."""
        self._spares = [spare for spare in self._spares if not spare.is_gone]
        while len(self._spares) < self._wanted:
            self._spares.append(self._spawn())

    async def start(self, assignment: Assignment) -> Started:
        """Start one agent; returns once it has been executed.

        Raises FAILED_PRECONDITION (AGENT_NOT_FOUND, SPAWN_FAILED), UNAVAILABLE when the supervisor
        ended without a word, DEADLINE_EXCEEDED when it says nothing. In the last case, and when
        the wait is cancelled, it is killed and its agent with it.
        """
        child = self._take() or self._spawn()
        try:
            async with asyncio.timeout(_START_S):
                answer = await child.assign(assignment)
        except TimeoutError:
            child.kill()
            raise DeadlineExceeded(
                "SUPERVISOR_SILENT", f"no answer from the supervisor within {_START_S:.0f} s"
            ) from None
        except BaseException:
            child.kill()
            raise
        finally:
            self._refill_later()
        if answer.get("ok") is not True:
            raise FailedPrecondition(str(answer.get("reason")), str(answer.get("message")))
        return Started(cast("int", answer["pid"]), child.pid)

    async def close(self) -> None:
        """Dismiss the spares and wait for them; the supervisors at work go on."""
        if self._refill is not None:
            self._refill.cancel()
            await asyncio.gather(self._refill, return_exceptions=True)
        spares, self._spares = self._spares, []
        for spare in spares:
            await spare.dismiss()
        for child in list(self._children):
            child.forget()
        self._children.clear()

    def _take(self) -> _Child | None:
        while self._spares:
            spare = self._spares.pop(0)
            if not spare.is_gone:
                return spare
        return None

    def _spawn(self) -> _Child:
        child = _Child(self._boot, self._children.discard)
        self._children.add(child)
        return child

    def _refill_later(self) -> None:
        if self._refill is None or self._refill.done():
            self._refill = asyncio.get_running_loop().create_task(self._refill_soon())

    async def _refill_soon(self) -> None:
        await asyncio.sleep(_REFILL_S)
        try:
            self.warm()
        except OSError as error:  # the next start makes its own, or says why it cannot
            _log.warning("no spare supervisor: %s", error)


class _Child:
    """One supervisor process as its parent sees it: collected when it ends."""

    def __init__(self, boot: str, on_gone: Callable[[_Child], None]) -> None:
        self.pid, self._socket = _launch(boot)
        self._is_spare = True  # until then the socket is ours to close; later it is the stream's
        self._on_gone = on_gone
        self._gone = asyncio.Event()
        self._handle = os.pidfd_open(self.pid)
        asyncio.get_running_loop().add_reader(self._handle, self._collect)

    @property
    def is_gone(self) -> bool:
        return self._gone.is_set()

    async def assign(self, assignment: Assignment) -> Mapping[str, object]:
        """Hand over the work and hear how the start went."""
        self._is_spare = False
        reader, writer = await asyncio.open_connection(sock=self._socket)
        try:
            writer.write(json.dumps(assignment).encode() + b"\n")
            await writer.drain()
            line = await reader.readline()
        except ConnectionError:
            line = b""
        finally:
            writer.transport.abort()  # nothing more to say, and nothing to wait for
        if not line:
            raise Unavailable(
                "SUPERVISOR_LOST",
                f"supervisor {self.pid} ended before it answered",
                advice=f"its last words are in {assignment['dir']}/supervisor.log",
            )
        return cast("Mapping[str, object]", json.loads(line))

    async def dismiss(self) -> None:
        self._socket.close()
        await self._gone.wait()

    def kill(self) -> None:
        if not self.is_gone:
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def forget(self) -> None:
        """Leave it to init: this process ends, the supervisor does not."""
        self._release()

    def _collect(self) -> None:
        os.waitpid(self.pid, 0)
        self._gone.set()
        self._on_gone(self)
        if self._is_spare:
            self._socket.close()
        self._release()

    def _release(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)


def _launch(boot: str) -> tuple[int, socket.socket]:
    """Half a millisecond, whatever the size of this process: posix_spawn copies no memory."""
    ours, theirs = socket.socketpair()
    with theirs:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", boot],
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), number) for number in (0, 1)],
            setsid=True,
            setsigmask=[],
        )
    return pid, ours
