"""What attempts leave on disk goes when the hub has it all; those of one moment share one write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from spoke.flight import in_thread
from spoke.folder import Folder
from spoke.journal import Journal, Key

PAUSE_S: Final = 0.25  #: before it is erased: others of its tree may be ending now


class Tidier:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[tuple[Key, Folder]] = []
        self._round: asyncio.Task[dict[Key, OSError]] | None = None

    async def forget(self, key: Key, folder: Folder) -> None:
        """Returns when nothing of it is left. Raises OSError when the disk does not let go."""
        self._waiting.append((key, folder))
        if self._round is None:
            self._round = asyncio.create_task(self._tidy(), name="tidying")
        failed = await asyncio.shield(self._round)
        if key in failed:
            raise failed[key]

    async def close(self) -> None:
        """What is not erased yet is for the next daemon."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait([self._round])

    async def _tidy(self) -> dict[Key, OSError]:
        try:
            await asyncio.sleep(PAUSE_S)
        finally:
            self._round = None
            done, self._waiting = self._waiting, []
        return await in_thread(self._erase, done)

    def _erase(self, done: Sequence[tuple[Key, Folder]]) -> dict[Key, OSError]:
        """The journal first: an order without a directory would be begun again. What the disk does
        not let go of holds up none of those beside it.
        """
        self._journal.finish([key for key, _ in done])
        failed: dict[Key, OSError] = {}
        for key, folder in done:
            try:
                folder.remove()
            except OSError as error:
                failed[key] = error
        return failed
