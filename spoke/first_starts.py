"""What an agent does once for all its starts: alone, before the first of them.

An agent that keeps a store of its own makes it when it finds none. opencode breaks when two of them
do that at once, as they would on a machine that is new.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from spoke.flight import Flights, until_done

SECONDS: Final = 60.0
_WHERE: Final = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")

_log = logging.getLogger(__name__)


class FirstStarts:
    """Kept for the life of the daemon, for each folder of settings; what fails is tried again."""

    def __init__(self) -> None:
        self._made: set[tuple[str, ...]] = set()
        self._flights = Flights[bool]()

    async def over(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        """Return when this has been run. Its failure is no reason not to try the agent itself."""
        key = (*argv, *(env.get(name, "") for name in _WHERE))
        if not argv or key in self._made:
            return
        if await self._flights.join(key, lambda: _run(argv, env, cwd)):
            self._made.add(key)


async def _run(argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> bool:
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, env=env, cwd=cwd, start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        _log.warning("%s: %s", argv[0], error)
        return False
    try:
        async with asyncio.timeout(SECONDS):
            status = await process.wait()
    except TimeoutError:
        status = None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await until_done(process.wait())
    if status != 0:
        _log.warning("%s: exit code %s", " ".join(argv), status)
    return status == 0
