"""A worktree goes: saved first, then into the trash, and its branch where nothing hangs on it."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass

from protocol.errors import CallError, FailedPrecondition, NotFound
from spoke import branches, inspection, notes, pushing, saving
from spoke.bounds import Bounds
from spoke.clones import ORIGIN_HEAD, Clone
from spoke.flight import in_thread
from spoke.inspection import Inspection
from spoke.kept import Kept, new_entry
from spoke.notes import Note
from spoke.place import Place
from spoke.saving import Proof

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """`branch`, `remote_branch`: delete those too, where nothing would be lost. `force`: also what
    no ref can hold. `stale`: it is not the newest state of its session, and saved as salvage."""

    branch: bool = False
    remote_branch: bool = False
    force: bool = False
    stale: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Removed:
    """`existed`: there was something there. `branch_kept`: it holds what nothing else does."""

    existed: bool
    branch_kept: str | None
    saved_ref: str | None = None
    trash: str | None = None
    remote_kept: str | None = None  #: why the branch of the source stays, if it was to go


async def take_away(
    clone: Clone, place: Place, session: str, bounds: Bounds, kept: Kept, wish: Wish,
    proof: Proof | None = None,
) -> Removed:  # fmt: skip
    """`proof`: what was seen in it before: git looks again only if anything was touched since.

    Raises `FailedPrecondition` UNSAVED; then, and whenever it raises, nothing was removed.
    """
    with contextlib.suppress(FileNotFoundError), bounds.folder(clone.name):
        pass  # not through a link
    note = notes.read(clone.path, session)
    tip = saved = None
    goes = False
    if note is not None:
        tip = await clone.tip(note.branch)
        # Asked before it is saved: what nobody had until now is not deleted on the spot.
        goes = wish.branch and await branches.is_held_elsewhere(clone, note.branch, tip)
        saved = await _save(clone, place, note, wish, proof)
    where = note or Note(session, clone.url, "", "", existing=True)
    entry = new_entry(clone.name, where, tip, wish.why)
    existed = await in_thread(kept.keep, place, bounds, entry)
    await in_thread(notes.forget, clone.path, session)
    branch_kept = remote_kept = None
    if note is not None and wish.remote_branch:
        remote_kept = await _delete_remote(clone, note.branch)
    if note is not None and wish.branch:
        is_gone = goes and await branches.delete(clone, note.branch, tip)
        branch_kept = None if is_gone else note.branch
    return Removed(existed, branch_kept, saved, entry.id if existed else None, remote_kept)


async def _save(
    clone: Clone, place: Place, note: Note, wish: Wish, proof: Proof | None
) -> str | None:
    """The ref that holds what nothing else does; None if there is no such thing."""
    if place.tree.is_symlink() or not place.tree.is_dir():
        return None
    ref = f"refs/coord/wip/{note.session}"
    if wish.stale:
        ref = f"refs/coord/salvage/{note.session}/{os.urandom(4).hex()}"
    try:
        study = await inspection.inspect(clone, place, note, ref, proof)
        if study.seen.left_out and not wish.force:
            raise _unsaved(note, study.seen)
        if study.seen.saved:
            return ref
        if study.state.is_clean and not study.seen.saved_ref and study.seen.pushed:
            return None
        return ref if (await saving.save(clone, place, note, ref))[0] else None
    except (CallError, OSError) as error:
        if not wish.force:
            raise
        _log.warning("%s goes to the trash unsaved: %s", place.tree, error)
        return None


def _unsaved(note: Note, seen: Inspection) -> FailedPrecondition:
    return FailedPrecondition(
        "UNSAVED",
        f"no ref can hold: {', '.join(seen.left_out[:5])}",
        advice=f"look after it, or let it stay in the trash only: "
        f"coordctl cleanup --force {note.session}",
    )


async def _delete_remote(clone: Clone, branch: str) -> str | None:
    """Why the branch stays at the source; None: it is gone."""
    await clone.fetch()
    there, default = await clone.objects(
        f"refs/remotes/origin/{branch}^{{commit}}", f"{ORIGIN_HEAD}^{{commit}}"
    )
    if there is None:
        return None
    if default is None or await saving.missing(clone, [there], default):
        return "the source's default branch does not have all of it"
    return await pushing.delete(clone, branch, there) or None


async def give_back(clone: Clone, place: Place, kept: Kept, id: str) -> Note:
    """Puts a removed worktree back as it was, branch included.

    Raises `NotFound` NOT_IN_TRASH, `Conflict` WORKTREE_EXISTS, REF_CONFLICT.
    """
    entry = kept.find(id)
    note = entry.note
    if not note.branch:
        raise NotFound("NOT_IN_TRASH", f"nobody knows any more what {id} belonged to")
    await in_thread(kept.undo, entry, place, clone.path)  # what a full disk stopped half-way
    await branches.check_free(clone, note.branch)
    (here,) = await clone.objects(f"refs/heads/{note.branch}")
    if here is None and entry.tip is not None:
        await clone.run(["update-ref", "--create-reflog", f"refs/heads/{note.branch}", entry.tip])
    await in_thread(kept.give_back, entry, place, clone.path)
    return note
