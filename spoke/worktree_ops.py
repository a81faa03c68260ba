"""What a hub may ask about a worktree on this spoke: what it holds, and to remove it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from protocol.errors import CallError, FailedPrecondition, InvalidArgument, NotFound
from protocol.ops.wire import (
    GiveBackParams,
    GivenBack,
    Inspected,
    InspectParams,
    Removed,
    RemoveParams,
    Trash,
    TrashItem,
)
from spoke.attempts import Attempts
from spoke.flight import in_thread
from spoke.inspection import SHOWN, is_untouched
from spoke.kept import Entry
from spoke.removal import Wish
from spoke.worktrees import Worktrees


async def inspect(worktrees: Worktrees, asked: InspectParams) -> Inspected:
    """What is pushed or merged is what its repository says now, not what it said once."""
    path = _path(asked.session_id, asked.worktree)
    try:
        away = await _ask_source(worktrees, path)
        found = await worktrees.inspect(path)
    except NotFound:
        return Inspected(exists=False)
    untouched = found.head == found.base
    return Inspected(
        exists=True,
        head=found.head,
        dirty=found.dirty,
        dirty_paths=list(found.dirty_paths),
        ahead=found.ahead if untouched or not away else max(1, found.ahead),
        merged=found.merged and not away,
        pushed=found.pushed and not away,
        saved_ref=found.saved_ref,
        saved=found.saved,
        left_out=list(found.left_out[:SHOWN]),
        source_away=away,
    )


async def remove(worktrees: Worktrees, attempts: Attempts, asked: RemoveParams) -> Removed:
    """Raises FailedPrecondition: SESSION_LIVE while an agent works there, UNSAVED."""
    if await attempts.is_live(asked.session_id):
        raise FailedPrecondition(
            "SESSION_LIVE",
            f"the agent of {asked.session_id} works in it",
            advice=f"coordctl abort {asked.session_id}",
        )
    wish = Wish(
        branch=asked.delete_branch,
        remote_branch=asked.remote_branch,
        force=asked.force,
        why=asked.why,
    )
    try:
        gone = await worktrees.take_away(_path(asked.session_id, asked.worktree), wish)
    except NotFound:
        return Removed(removed=False, reason="there is no such worktree")
    kept = f"the branch {gone.branch_kept} stays: it holds commits that nothing else does"
    why = "" if gone.existed else "there was no such worktree"
    return Removed(
        removed=gone.existed,
        saved_ref=gone.saved_ref,
        trash=gone.trash,
        branch_kept=gone.branch_kept,
        remote_kept=gone.remote_kept,
        reason=kept if gone.branch_kept else why,
    )


def trash(worktrees: Worktrees) -> Trash:
    return Trash(items=[_item(worktrees, entry) for entry in worktrees.kept.every()])


async def give_back(worktrees: Worktrees, attempts: Attempts, asked: GiveBackParams) -> GivenBack:
    """Raises FailedPrecondition (SESSION_LIVE), and what `Worktrees.give_back` raises."""
    session = worktrees.kept.find(asked.id).note.session
    if await attempts.is_live(session):
        raise FailedPrecondition(
            "SESSION_LIVE", f"{session} runs here again", advice=f"coordctl abort {session}"
        )
    back = await worktrees.give_back(asked.id)
    return GivenBack(session_id=back.session, worktree=str(back.path), branch=back.branch)


async def _ask_source(worktrees: Worktrees, path: Path) -> str:
    """Why the repository of a worktree could not be asked; nothing where it was."""
    clone, place, note = worktrees.known(path)
    try:
        await clone.know(None)
        if not await in_thread(is_untouched, clone, place, note):
            await clone.fresh()
    except CallError as error:
        return error.message
    return ""


def _item(worktrees: Worktrees, entry: Entry) -> TrashItem:
    return TrashItem(
        id=entry.id,
        session_id=entry.note.session,
        repo=entry.note.repo,
        branch=entry.note.branch,
        removed_at=datetime.fromtimestamp(entry.at, UTC),
        gone_at=datetime.fromtimestamp(entry.at, UTC) + timedelta(days=worktrees.kept.days),
        bytes=entry.bytes,
        why=entry.why,
    )


def _path(session_id: str, worktree: str) -> Path:
    """Raises InvalidArgument (BAD_PATH) when it is not this session's."""
    path = Path(worktree)
    if path.name != session_id:
        raise InvalidArgument("BAD_PATH", f"{worktree} is not the worktree of {session_id}")
    return path
