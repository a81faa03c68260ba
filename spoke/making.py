"""How one worktree is made: whole, or nothing is left of it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from protocol.errors import Conflict
from spoke import branches, layout, notes, planning, restoring
from spoke.chores import Chores
from spoke.clones import Clone
from spoke.flight import both, in_thread, until_done
from spoke.inplace import write_out
from spoke.notes import Note
from spoke.place import Place, discard
from spoke.planning import Plan, Wanted
from spoke.pool import PAUSE, Pool, Pooled
from spoke.trash import Trash


class _Seat(Enum):
    """What became of the quick way."""

    TAKEN = auto()
    NO_BRANCH = auto()  #: the branch is left to git
    OUTDATED = auto()  #: nothing was done: the source has moved on


@dataclass(slots=True)
class _Making:
    """What a rollback must know; ``pooled``: the files, from the pool or made by now."""

    plan: Plan
    pooled: Pooled | None


class Maker:
    """``cores``: how many gits may work at a time. ``place_of``: where a session's worktree is."""

    def __init__(
        self,
        pool: Pool,
        trash: Trash,
        cores: asyncio.Semaphore,
        place_of: Callable[[Clone, str], Place],
    ) -> None:
        self._pool = pool
        self._trash = trash
        self._cores = cores
        self._place_of = place_of
        self._claims: set[tuple[str, str]] = set()
        self._chores = Chores()

    async def close(self) -> None:
        await self._chores.close()

    async def at_once(self, clone: Clone, wanted: Wanted) -> Note | None:
        """All of it in one thread, for each has to be waited for. None: the files are not ready at
        what the source has now, or more than that is to be brought. Raises as `make`.
        """
        is_new = not wanted.existing and wanted.resumed is None
        commit = clone.at_hand(wanted.base) if is_new else None
        if commit is None:
            return None
        place = self._free_place(clone, wanted)
        with self._claimed(clone, wanted.branch):
            if (pooled := self._pool.take_exact(clone, commit)) is None:
                return None
            note = Note(
                wanted.session, clone.url, wanted.branch, commit, existing=False, pooled=True
            )
            try:
                seat = await in_thread(_take_seat, clone, wanted.base, pooled, place, note)
                if seat is _Seat.NO_BRANCH:
                    await branches.create(clone, note)
                    await in_thread(notes.finish, clone.path, note)
            except BaseException:
                await until_done(self.undo(clone, note, pooled))
                raise
        if seat is _Seat.OUTDATED:
            self._pool.give_back(clone, pooled)
            return None
        self._pool.refill(clone, commit)
        self._write_out(clone, place, note, pooled)
        return dataclasses.replace(note, made=True)

    async def make(self, clone: Clone, wanted: Wanted) -> Note:
        """Raises what `Worktrees.make` raises."""
        place = self._free_place(clone, wanted)
        with self._claimed(clone, wanted.branch):
            plan = await planning.plan(clone, wanted)
            making = _Making(plan, self._pool.take(clone, plan.commit))
            try:
                return await self._carry_out(clone, place, making)
            except BaseException:
                await until_done(self.undo(clone, plan.note, making.pooled))
                raise
            finally:
                self._pool.refill(clone, plan.commit)

    async def undo(self, clone: Clone, note: Note, pooled: Pooled | None = None) -> None:
        """Rolls back; each step may or may not have been taken.

        What the disk will not let go of stays noted, for whoever asks for this session next.
        """
        places = [self._place_of(clone, note.session)]
        if pooled is not None:
            places.append(pooled.place)
        gone = await in_thread(discard, places, self._trash)
        await branches.give_back(clone, note)
        if gone:
            await in_thread(_discard_papers, pooled)
            await in_thread(notes.forget, clone.path, note.session)

    async def _carry_out(self, clone: Clone, place: Place, making: _Making) -> Note:
        """The files at their place, on the branch, which may come to be at the same time."""
        note = dataclasses.replace(making.plan.note, pooled=making.pooled is not None)
        await in_thread(notes.begin, clone.path, note)
        ready = await both(_branch(clone, note), self._files(clone, making))
        made = await in_thread(_settle, clone, ready.place, place, note)
        self._write_out(clone, place, note, ready)
        return made

    async def _files(self, clone: Clone, making: _Making) -> Pooled:
        """The files of the commit, not yet at their place."""
        pooled = making.pooled
        if pooled is None:
            pooled = making.pooled = await self._pool.make(clone, making.plan.commit)
        elif pooled.commit != making.plan.commit:
            async with self._cores:
                await pooled.place.change(clone, pooled.commit, making.plan.commit)
        if (author := await clone.author.said()) != pooled.author:
            await in_thread(layout.configure, pooled.place.view, clone.url, author)
        if making.plan.back is not None:
            await restoring.lay_out(clone, pooled.place, making.plan.back)
        return pooled

    def _write_out(self, clone: Clone, place: Place, note: Note, pooled: Pooled) -> None:
        """Soon: so that a machine that dies has it in one piece. See `inplace.write_out`."""
        paths = (*place.rewritten(), notes.path(clone.path, note.session))
        self._chores.start(_later(paths, pooled), f"to the disk: {place.tree}")

    def _free_place(self, clone: Clone, wanted: Wanted) -> Place:
        """Before anything that would be rolled back: what is there is not ours."""
        place = self._place_of(clone, wanted.session)
        if place.occupied():
            has = f"the place of {wanted.session}'s worktree is not empty"
            raise Conflict("WORKTREE_EXISTS", has)
        return place

    @contextmanager
    def _claimed(self, clone: Clone, branch: str) -> Generator[None]:
        claim = (clone.name, branch)
        if claim in self._claims:
            raise branches.conflict(branch, "another session is taking it at this moment")
        self._claims.add(claim)
        try:
            yield
        finally:
            self._claims.discard(claim)


async def _later(paths: Sequence[Path], pooled: Pooled) -> None:
    await asyncio.sleep(PAUSE)
    await in_thread(_discard_papers, pooled)
    await in_thread(write_out, paths)


def _discard_papers(pooled: Pooled | None) -> None:
    """What was not used of them."""
    if pooled is not None and pooled.papers is not None:
        pooled.papers.discard()


async def _branch(clone: Clone, note: Note) -> None:
    if not note.existing and not await in_thread(branches.begin, clone, note):
        await branches.create(clone, note)


def _take_seat(clone: Clone, base: str | None, ready: Pooled, place: Place, note: Note) -> _Seat:
    if not clone.is_current(base) or clone.at_hand(base) != note.base:
        return _Seat.OUTDATED
    if not clone.author.stands(ready.author):
        return _Seat.OUTDATED
    papers = ready.papers
    notes.begin(clone.path, note, papers.note if papers else None)
    has_branch = branches.begin(clone, note, papers)
    if not has_branch:
        place.adopt(ready.place, note.branch)
        return _Seat.NO_BRANCH
    _settle(clone, ready.place, place, note)
    return _Seat.TAKEN


def _settle(clone: Clone, ready: Place, place: Place, note: Note) -> Note:
    place.adopt(ready, note.branch)
    return notes.finish(clone.path, note)
