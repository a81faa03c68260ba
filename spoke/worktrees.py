"""Git worktrees of sessions: made whole or not at all, removed at once, no link followed."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from protocol.errors import Conflict, NotFound
from protocol.words import check_branch, check_id
from spoke import branches, disk, inspection, kept, notes, planning, removal, restoring, saving
from spoke.bounds import Bounds
from spoke.clones import Clone, Clones
from spoke.flight import Turns, both, in_thread, until_done
from spoke.inspection import Inspection
from spoke.kept import Kept
from spoke.notes import Note
from spoke.place import Place, discard
from spoke.planning import Plan, Wanted, Worktree
from spoke.pool import Pool, Pooled
from spoke.removal import Removed, Wish
from spoke.restoring import Resumed
from spoke.saving import Proof
from spoke.trash import Trash

POOL_SIZE: Final = 2
_FOLDER: Final = "worktrees"


@dataclass(slots=True)
class _Making:
    """What a rollback must know; ``pooled``: the files, from the pool or made by now."""

    plan: Plan
    pooled: Pooled | None


class Worktrees:
    """All worktrees below `root`, which is on one file system together with the clones.

    Use it as an async context: entering rolls back what a daemon before us left half made.
    """

    def __init__(
        self,
        root: Path,
        clones: Clones,
        *,
        pool_size: int = POOL_SIZE,
        trash_days: float = kept.DAYS,
        trash_bytes: int = kept.BYTES,
    ) -> None:
        self._root = root
        self._clones = clones
        self.kept = Kept(root / "kept", days=trash_days, most=trash_bytes)
        self._trash = Trash(root / "trash", self.kept.tidy)
        self._cores = asyncio.Semaphore(os.cpu_count() or 1)
        self._pool = Pool(root, self._trash, self._cores, pool_size)
        self._turns = Turns()
        self._claims: set[tuple[str, str]] = set()
        self._proofs: dict[str, Proof] = {}  #: by session
        self._bounds = Bounds(root / _FOLDER)

    async def __aenter__(self) -> Self:
        for name in self._clones.names():
            clone = self._clones.at(name)
            await in_thread(self._pool.forget, clone.path)
            for note in notes.every(clone.path):
                if not note.made:
                    await self._undo(clone, note)
        self._trash.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await until_done(self._close())

    async def make(
        self,
        session_id: str,
        repo: str,
        branch: str,
        base: str | None,
        *,
        existing: bool = False,
        resumed: Resumed | None = None,
    ) -> Worktree:
        """A worktree for this session on `branch`, new at `base` (None: the default branch).

        `existing`: the branch is there already and is resumed. Asked again for what it has made,
        it gives that. `resumed`: it ran before; where this spoke has not its newest state, that is
        brought from where it was saved. Raises `InvalidArgument` BAD_REF, BAD_REPO_URL, BAD_ID;
        `Conflict` REF_CONFLICT, WORKTREE_EXISTS; `GitFailed`; `FailedPrecondition` NO_DISK.
        Whatever is raised, cancellation included, nothing is left of it.
        """
        check_id(session_id)
        check_branch(branch)
        async with self._turns.alone(session_id):
            clone = await self._clones.get(repo)
            found = notes.read(clone.path, session_id)
            whole = found is not None and found.made and self._place(clone, session_id).whole()
            if found is not None and whole and (existing or resumed is None):
                return self._again(clone, found, branch)
            if found is not None and found.made:
                await self._take_away(
                    clone, session_id, Wish(force=True, stale=True, why="out of date")
                )
            elif found is not None:
                await self._undo(clone, found)
            await (clone.fresh() if existing or resumed is not None else clone.know(base))
            with disk.faults_told():
                return await self._make(clone, Wanted(session_id, branch, base, existing, resumed))

    async def remove(self, path: Path, *, delete_branch: bool = False) -> Removed:
        """As `take_away`, whatever no ref can hold included: it is in the trash."""
        return await self.take_away(path, Wish(branch=delete_branch, force=True))

    async def take_away(self, path: Path, wish: Wish) -> Removed:
        """Saves what nothing else holds, and moves the worktree to the trash.

        Raises `InvalidArgument` BAD_PATH for any path that is not a worktree's of ours, and what
        `removal.take_away` raises.
        """
        name, session = self._bounds.parts(path)
        async with self._turns.alone(session):
            return await self._take_away(self._clones.at(name), session, wish)

    async def give_back(self, id: str) -> Worktree:
        """Puts a removed worktree back. Raises what `removal.give_back` raises."""
        entry = self.kept.find(id)
        async with self._turns.alone(entry.note.session):
            clone = self._clones.at(entry.clone)
            place = self._place(clone, entry.note.session)
            return self._worktree(clone, await removal.give_back(clone, place, self.kept, id))

    async def inspect(self, path: Path) -> Inspection:
        """What is in the worktree that is nowhere else. Raises as `known` does."""
        _, session = self._bounds.parts(path)
        async with self._turns.alone(session):  # it may be being saved, which is a look as good
            known, proof = self.known(path), self._proofs.get(session)
            study = await inspection.inspect(*known, f"refs/coord/wip/{session}", proof)
            self._proofs[session] = study.proof
            return study.seen

    async def save(self, session_id: str, path: Path, ref: str, *, niceness: int = 0) -> str | None:
        """Writes the state of the worktree, uncommitted and untracked files included, to `ref`.

        The commit's id; None if there is nothing that the source does not have. Neither the files
        nor the index are changed. `ref` is below refs/coord/.
        """
        _, session = self._bounds.parts(path)
        async with self._turns.alone(session):
            if session != session_id:
                raise NotFound("NO_WORKTREE", f"{path} is not a worktree of {session_id}")
            known = self.known(path)
            commit, self._proofs[session] = await saving.save(*known, ref, niceness=niceness)
            return commit

    def clones(self) -> list[Clone]:
        return [self._clones.at(name) for name in self._clones.names()]

    def leftovers(self) -> tuple[Worktree, ...]:
        """The worktrees on disk, as noted when they were made."""
        known = [(clone, note) for clone in self.clones() for note in notes.every(clone.path)]
        return tuple(self._worktree(clone, note) for clone, note in known if note.made)

    async def wait_ready(self, repo: str) -> None:
        """Returns when the pool of this repository is not being filled."""
        await self._pool.wait_full(await self._clones.get(repo))

    async def wait_erased(self, seconds: float) -> bool:
        """Whether, within `seconds`, everything that was removed so far is off the disk."""
        return await asyncio.to_thread(self._trash.wait_empty, seconds)

    async def _make(self, clone: Clone, wanted: Wanted) -> Worktree:
        session = wanted.session
        if self._place(clone, session).occupied():
            raise Conflict("WORKTREE_EXISTS", f"the place of {session}'s worktree is not empty")
        with self._claimed(clone, wanted.branch):
            plan = await planning.plan(clone, wanted)
            making = _Making(plan, self._pool.take(clone, plan.commit))
            try:
                made = await self._carry_out(clone, making)
            except BaseException:
                await until_done(self._undo(clone, plan.note, making.pooled))
                raise
            finally:
                self._pool.refill(clone, plan.commit)
        return self._worktree(clone, made)

    async def _carry_out(self, clone: Clone, making: _Making) -> Note:
        """The files at their place, on the branch, which may come to be at the same time."""
        note, pooled = making.plan.note, making.pooled
        made = dataclasses.replace(note, made=True, pooled=pooled is not None)
        if pooled is not None and pooled.commit == making.plan.commit and not note.existing:
            if not await in_thread(self._seat, clone, pooled.place, note, made):
                await branches.create(clone, note)
            return made
        await in_thread(notes.write, clone.path, note)
        ready = await both(self._branch(clone, note), self._files(clone, making))
        await in_thread(self._settle, clone, ready.place, made)
        return made

    def _seat(self, clone: Clone, pooled: Place, note: Note, made: Note) -> bool:
        """All that is to do where the files are ready, at one go: each thread has to be waited for.

        False: the branch is left to git.
        """
        notes.write(clone.path, note)
        has_branch = branches.begin(clone, note)
        self._settle(clone, pooled, made)
        return has_branch

    async def _branch(self, clone: Clone, note: Note) -> None:
        if not note.existing and not await in_thread(branches.begin, clone, note):
            await branches.create(clone, note)

    async def _files(self, clone: Clone, making: _Making) -> Pooled:
        """The files of the commit, not yet at their place."""
        pooled = making.pooled
        if pooled is None:
            pooled = making.pooled = await self._pool.make(clone, making.plan.commit)
        elif pooled.commit != making.plan.commit:
            async with self._cores:
                await pooled.place.change(clone, pooled.commit, making.plan.commit)
        if making.plan.back is not None:
            await restoring.lay_out(clone, pooled.place, making.plan.back)
        return pooled

    def _settle(self, clone: Clone, pooled: Place, made: Note) -> None:
        self._place(clone, made.session).adopt(pooled, made.branch)
        notes.write(clone.path, made)

    async def _undo(self, clone: Clone, note: Note, pooled: Pooled | None = None) -> None:
        """Rolls back; each step may or may not have been taken.

        What the disk will not let go of stays noted, for whoever asks for this session next.
        """
        places = [self._place(clone, note.session)]
        if pooled is not None:
            places.append(pooled.place)
        gone = await in_thread(discard, places, self._trash)
        await branches.give_back(clone, note)
        if gone:
            await in_thread(notes.forget, clone.path, note.session)

    def _again(self, clone: Clone, note: Note, branch: str) -> Worktree:
        if note.branch != branch:
            has = f"{note.session} has a worktree on {note.branch} already"
            raise Conflict("WORKTREE_EXISTS", has)
        return self._worktree(clone, note)

    def _worktree(self, clone: Clone, note: Note) -> Worktree:
        path = self._place(clone, note.session).tree
        return Worktree(path, note.branch, note.base, note.repo, note.pooled, note.session)

    def _place(self, clone: Clone, session: str) -> Place:
        return Place.of(self._root, clone.path, _FOLDER, session)

    def known(self, path: Path) -> tuple[Clone, Place, Note]:
        """Raises `InvalidArgument` BAD_PATH, `NotFound` NO_WORKTREE."""
        name, session = self._bounds.parts(path)
        clone = self._clones.at(name)
        note = notes.read(clone.path, session)
        place = self._place(clone, session)
        if note is None or place.tree.is_symlink() or not place.tree.is_dir():
            raise NotFound("NO_WORKTREE", f"there is no worktree at {path}")
        return clone, place, note

    async def _take_away(self, clone: Clone, session: str, wish: Wish) -> Removed:
        place = self._place(clone, session)
        proof = self._proofs.pop(session, None)
        gone = await removal.take_away(clone, place, session, self._bounds, self.kept, wish, proof)
        self._trash.stir()
        return gone

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

    async def _close(self) -> None:
        await self._pool.close()
        await asyncio.to_thread(self._trash.close)
