"""Worktrees made ready before anybody asks, because checking out is what a spawn waits for."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from protocol.errors import CallError
from spoke.clones import Clone
from spoke.flight import in_thread, until_done
from spoke.idle import NICEST
from spoke.papers import Papers, discard_all
from spoke.place import Place
from spoke.trash import Trash

_log = logging.getLogger(__name__)

PREFIX: Final = "pool+"  #: begins no session's name
PAUSE: Final = 0.2  #: seconds; the agent that just got a worktree is about to start


@dataclass(frozen=True, slots=True)
class Pooled:
    """A clean worktree, detached at `commit`."""

    place: Place
    commit: str
    author: Mapping[str, str]  #: who commits there, where the source said so then
    papers: Papers | None = None  #: none for one that is made while it is waited for


class Pool:
    """For each clone `size` worktrees, made one after the other behind everybody's back."""

    def __init__(self, root: Path, trash: Trash, cores: asyncio.Semaphore, size: int) -> None:
        self._root = root
        self._trash = trash
        self._cores = cores
        self._behind = asyncio.Semaphore(1)  #: idle work must not hold what a spawn waits for
        self._size = size
        self._ready: dict[str, deque[Pooled]] = {}
        self._filling: dict[str, asyncio.Task[None]] = {}

    def take(self, clone: Clone, commit: str) -> Pooled | None:
        """A ready worktree, at `commit` if there is one such; None if all are taken."""
        ready = self._ready.get(clone.name)
        if not ready:
            return None
        best = next((pooled for pooled in ready if pooled.commit == commit), ready[0])
        ready.remove(best)
        return best

    def take_exact(self, clone: Clone, commit: str) -> Pooled | None:
        """A ready worktree at `commit`, if there is one."""
        ready = self._ready.get(clone.name, ())
        is_there = any(pooled.commit == commit for pooled in ready)
        return self.take(clone, commit) if is_there else None

    def give_back(self, clone: Clone, pooled: Pooled) -> None:
        """It was not used after all."""
        self._ready[clone.name].append(pooled)

    def refill(self, clone: Clone, commit: str) -> None:
        """Begins to make what is missing, at `commit`, unless it is being done."""
        if self._size > 0 and clone.name not in self._filling:
            task = asyncio.ensure_future(self._fill(clone, commit))
            self._filling[clone.name] = task
            task.add_done_callback(lambda _: self._filling.pop(clone.name, None))

    async def wait_full(self, clone: Clone) -> None:
        """Returns when nothing is being made for this clone."""
        task = self._filling.get(clone.name)
        if task is not None:
            await asyncio.wait([task])

    async def close(self) -> None:
        """Stops making; what is ready stays on disk for `forget` of the next daemon."""
        tasks = list(self._filling.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def forget(self, clone: Path) -> None:
        """Throws away what a daemon before us made ready: nobody vouches that it is clean."""
        for admin in (clone / "commons/worktrees").glob(f"{PREFIX}*"):
            Place.of(self._root, clone, "pool", admin.name).discard(self._trash)
        for folder in ("pool", "views"):
            for path in (self._root / folder / clone.name).glob(f"{PREFIX}*"):
                self._trash.throw(path)
        discard_all(clone)

    async def make(self, clone: Clone, commit: str, *, niceness: int = 0) -> Pooled:
        """A new one, for somebody who waits for it; nothing is left if it fails."""
        place = Place.of(self._root, clone.path, "pool", f"{PREFIX}{os.urandom(6).hex()}")
        author = await clone.author.said()
        try:
            async with self._behind if niceness else self._cores:
                await place.check_out(clone, commit, author, niceness=niceness)
        except BaseException:
            await until_done(asyncio.to_thread(place.discard, self._trash))
            raise
        return Pooled(place, commit, author)

    async def _make_ready(self, clone: Clone, commit: str) -> Pooled:
        made = await self.make(clone, commit, niceness=NICEST)
        papers = Papers.of(clone.path, made.place.admin.name)
        try:
            await in_thread(papers.draw_up, commit)
        except OSError:
            await in_thread(made.place.discard, self._trash)
            raise
        return replace(made, papers=papers)

    async def _fill(self, clone: Clone, commit: str) -> None:
        ready = self._ready.setdefault(clone.name, deque())
        await asyncio.sleep(PAUSE)
        try:
            while len(ready) < self._size:
                ready.append(await self._make_ready(clone, commit))
        except (CallError, OSError) as error:
            _log.warning("the pool of %s is short: %s", clone.name, error)
