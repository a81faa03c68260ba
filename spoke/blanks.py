"""Folders for attempts to come, with the files in them that each will have: see `papers` why."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections import deque
from pathlib import Path
from typing import Final

from spoke.chores import Chores
from spoke.flight import in_thread
from spoke.folder import FILES

_log = logging.getLogger(__name__)

KEPT: Final = 4
_PAUSE_S: Final = 0.2  #: whoever has taken one is starting an agent


class Blanks:
    """``root`` is on the file system of the attempts, and holds nothing else."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ready: deque[Path] = deque()
        self._chores = Chores()
        self._filling: asyncio.Task[None] | None = None

    def take(self) -> Path | None:
        """One to be renamed; None if all are taken. Others are made soon."""
        if self._filling is None or self._filling.done():
            self._filling = self._chores.start(self._fill(), "blank folders")
        return self._ready.popleft() if self._ready else None

    def start(self) -> None:
        """Begin to make them."""
        self._filling = self._chores.start(self._begin(), "blank folders")

    async def close(self) -> None:
        await self._chores.close()

    async def _begin(self) -> None:
        """Those of a daemon before us are thrown away: one of them may be half made."""
        await in_thread(shutil.rmtree, self._root, ignore_errors=True)
        await self._make_all()

    async def _fill(self) -> None:
        await asyncio.sleep(_PAUSE_S)
        await self._make_all()

    async def _make_all(self) -> None:
        try:
            while len(self._ready) < KEPT:
                self._ready.append(await in_thread(_make, self._root / os.urandom(6).hex()))
        except OSError as error:  # who wants one makes it, or says why that cannot be
            _log.warning("no folders in advance: %s", error)


def _make(path: Path) -> Path:
    """Raises OSError; nothing is left then."""
    try:
        path.mkdir(parents=True, mode=0o700)
        for name in FILES:
            path.joinpath(name).touch(0o600)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return path
