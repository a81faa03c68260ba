"""What a hub may ask about a worktree on this spoke: what it holds, and to remove it."""

from __future__ import annotations

from pathlib import Path

from protocol.errors import FailedPrecondition, InvalidArgument, NotFound
from protocol.ops.wire import Inspected, InspectParams, Removed, RemoveParams
from spoke.attempts import Attempts
from spoke.inspection import SHOWN
from spoke.worktrees import Worktrees


async def inspect(worktrees: Worktrees, asked: InspectParams) -> Inspected:
    try:
        found = await worktrees.inspect(_path(asked.session_id, asked.worktree))
    except NotFound:
        return Inspected(exists=False)
    return Inspected(
        exists=True,
        head=found.head,
        dirty=found.dirty,
        dirty_paths=list(found.dirty_paths),
        ahead=found.ahead,
        merged=found.merged,
        pushed=found.pushed,
        saved_ref=found.saved_ref,
        saved=found.saved,
        left_out=list(found.left_out[:SHOWN]),
    )


async def remove(worktrees: Worktrees, attempts: Attempts, asked: RemoveParams) -> Removed:
    """Raises FailedPrecondition (SESSION_LIVE) while an agent works there."""
    if attempts.is_live(asked.session_id):
        raise FailedPrecondition(
            "SESSION_LIVE",
            f"the agent of {asked.session_id} works in it",
            advice=f"coordctl abort {asked.session_id}",
        )
    path = _path(asked.session_id, asked.worktree)
    saved = await _save(worktrees, asked.session_id, path) if asked.save else None
    try:
        gone = await worktrees.remove(path, delete_branch=asked.delete_branch)
    except NotFound:
        return Removed(removed=False, reason="there is no such worktree")
    kept = f"the branch {gone.branch_kept} stays: it holds commits that nothing else does"
    why = "" if gone.existed else "there was no such worktree"
    return Removed(removed=gone.existed, saved_ref=saved, reason=kept if gone.branch_kept else why)


async def _save(worktrees: Worktrees, session_id: str, path: Path) -> str | None:
    ref = f"refs/coord/wip/{session_id}"
    try:
        return ref if await worktrees.save(session_id, path, ref) else None
    except NotFound:
        return None


def _path(session_id: str, worktree: str) -> Path:
    """Raises InvalidArgument (BAD_PATH) when it is not this session's."""
    path = Path(worktree)
    if path.name != session_id:
        raise InvalidArgument("BAD_PATH", f"{worktree} is not the worktree of {session_id}")
    return path
