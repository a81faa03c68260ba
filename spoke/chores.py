"""Work in the background of one owner: a crash is logged, and nothing outlives the owner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Chores:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def start(
        self, work: Coroutine[object, object, T], name: str, *, quiet: bool = False
    ) -> asyncio.Task[T]:
        """``quiet``: somebody else hears how it ended, so a failure is not logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard if quiet else self._ended)
        return task

    async def close(self) -> None:
        """Cancel all that is left and wait for it."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s crashed", task.get_name(), exc_info=error)
