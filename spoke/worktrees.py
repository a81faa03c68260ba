"""Git worktrees of sessions: made whole or not at all, removed at once, no link followed."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from protocol.errors import Conflict, NotFound
from protocol.words import check_branch, check_id
from spoke import disk, inspection, kept, notes, removal, saving
from spoke.bounds import Bounds
from spoke.clones import Clone, Clones
from spoke.flight import Turns, in_thread, until_done
from spoke.inspection import Inspection
from spoke.kept import Kept
from spoke.making import Maker
from spoke.notes import Note
from spoke.place import Place
from spoke.planning import Wanted, Worktree
from spoke.pool import Pool
from spoke.removal import Removed, Wish
from spoke.restoring import Resumed
from spoke.saving import Proof
from spoke.trash import Trash

_log = logging.getLogger(__name__)

POOL_SIZE: Final = 2
_FOLDER: Final = "worktrees"


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
        cores = asyncio.Semaphore(os.cpu_count() or 1)
        self._pool = Pool(root, self._trash, cores, pool_size)
        self._maker = Maker(self._pool, self._trash, cores, self._place)
        self._turns = Turns()
        self._proofs: dict[str, Proof] = {}  #: by session
        self._bounds = Bounds(root / _FOLDER)

    async def __aenter__(self) -> Self:
        await in_thread(self._undo_moves)
        for name in self._clones.names():
            clone = self._clones.at(name)
            await in_thread(self._pool.forget, clone.path)
            for note in notes.every(clone.path):
                if not note.made:
                    await self._maker.undo(clone, note)
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
                await self._maker.undo(clone, found)
            wanted = Wanted(session_id, branch, base, existing, resumed)
            with disk.faults_told():
                if (note := await self._maker.at_once(clone, wanted)) is not None:
                    return self._worktree(clone, note)
            await (clone.fresh() if existing or resumed is not None else clone.know(base))
            with disk.faults_told():
                return self._worktree(clone, await self._maker.make(clone, wanted))

    async def remove(self, path: Path, *, delete_branch: bool = False) -> Removed:
        """As `take_away`, whatever no ref can hold included: it is in the trash."""
        return await self.take_away(path, Wish(branch=delete_branch, force=True))

    async def take_away(self, path: Path, wish: Wish) -> Removed:
        """Saves what nothing else holds, and moves the worktree to the trash.

        Raises `InvalidArgument` BAD_PATH for any path that is not a worktree's of ours,
        `FailedPrecondition` NO_DISK, and what `removal.take_away` raises.
        """
        name, session = self._bounds.parts(path)
        async with self._turns.alone(session):
            with disk.faults_told():
                return await self._take_away(self._clones.at(name), session, wish)

    async def give_back(self, id: str) -> Worktree:
        """Puts a removed worktree back. Raises `FailedPrecondition` NO_DISK, and what
        `removal.give_back` raises.
        """
        entry = self.kept.find(id)
        async with self._turns.alone(entry.note.session):
            clone = self._clones.at(entry.clone)
            place = self._place(clone, entry.note.session)
            with disk.faults_told():
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

    def place(self, path: Path) -> Place:
        """Where the parts of a worktree are, or would be. Raises `InvalidArgument` BAD_PATH,
        `NotFound` NO_CLONE.
        """
        name, session = self._bounds.parts(path)
        return self._place(self._clones.at(name), session)

    async def _take_away(self, clone: Clone, session: str, wish: Wish) -> Removed:
        place = self._place(clone, session)
        proof = self._proofs.pop(session, None)
        gone = await removal.take_away(clone, place, session, self._bounds, self.kept, wish, proof)
        self._trash.stir()
        return gone

    def _undo_moves(self) -> None:
        for entry in self.kept.unfinished():
            try:
                clone = self._clones.at(entry.clone)
                self.kept.undo(entry, self._place(clone, entry.note.session), clone.path)
            except (NotFound, OSError) as error:
                _log.error("%s is in the trash in part, and stays so: %s", entry.id, error)

    async def _close(self) -> None:
        await self._maker.close()
        await self._pool.close()
        await asyncio.to_thread(self._trash.close)
