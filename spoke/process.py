"""Supervisors as the daemon sees them: warm spares, a start, and a line to each that runs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from protocol.errors import DeadlineExceeded, FailedPrecondition
from spoke.line import Delivery, Supervisor
from spoke.nursery import Newborn, Nursery
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


@dataclass(frozen=True, slots=True)
class Started:
    """The agent's pid, and that of the supervisor above it."""

    pid: int
    supervisor_pid: int


class Supervisors:
    """Starts one supervisor per attempt; ``root`` is the folder that holds the spoke package.

    Each is in a control group of its own, if there is a folder for such ``groups``. ``doors`` is
    the folder of the sockets that assignments name: then a spare has its own there already.

    Spares die with this process; a supervisor that has its assignment does not.
    """

    def __init__(
        self,
        root: Path = _ROOT,
        spares: int = 1,
        *,
        groups: Path | None = None,
        doors: Path | None = None,
    ) -> None:
        self._nursery = Nursery(root, groups, doors)
        self._wanted = spares
        self._spares: list[Newborn] = []
        self._refill: asyncio.Task[None] | None = None

    def warm(self) -> None:
        """Make the spares now. Raises ``OSError`` as ``posix_spawn`` does."""
        for gone in [spare for spare in self._spares if spare.is_gone]:
            self._spares.remove(gone)
            gone.hang_up()
        while len(self._spares) < self._wanted:
            self._spares.append(self._nursery.bear())

    async def start(self, assignment: Assignment) -> Started:
        """Start one agent; returns once it has been executed.

        Raises FAILED_PRECONDITION (AGENT_NOT_FOUND, SPAWN_FAILED), UNAVAILABLE when the supervisor
        ended without a word, DEADLINE_EXCEEDED when it says nothing. In the last case, and when
        the wait is cancelled, it is killed and its agent with it.
        """
        newborn = self._take() or self._nursery.bear()
        try:
            async with asyncio.timeout(_START_S):
                answer = await newborn.assign(assignment)
        except TimeoutError:
            newborn.kill()
            raise DeadlineExceeded(
                "SUPERVISOR_SILENT", f"no answer from the supervisor within {_START_S:.0f} s"
            ) from None
        except BaseException:
            newborn.kill()
            raise
        finally:
            newborn.hang_up()
            self._refill_later()
        if answer.get("ok") is not True:
            raise FailedPrecondition(str(answer.get("reason")), str(answer.get("message")))
        return Started(cast("int", answer["pid"]), newborn.pid)

    async def close(self) -> None:
        """Dismiss the spares and wait for them; the supervisors at work go on."""
        if self._refill is not None:
            self._refill.cancel()
            await asyncio.gather(self._refill, return_exceptions=True)
        spares, self._spares = self._spares, []
        for spare in spares:
            await spare.dismiss()
        await self._nursery.close()

    def _take(self) -> Newborn | None:
        while self._spares:
            spare = self._spares.pop(0)
            if not spare.is_gone:
                return spare
            spare.hang_up()
        return None

    def _refill_later(self) -> None:
        if self._refill is None or self._refill.done():
            self._refill = asyncio.get_running_loop().create_task(self._refill_soon())

    async def _refill_soon(self) -> None:
        await asyncio.sleep(_REFILL_S)
        try:
            self.warm()
        except OSError as error:  # the next start makes its own, or says why it cannot
            _log.warning("no spare supervisor: %s", error)
