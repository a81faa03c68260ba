"""coord.cleanup: remove worktrees whose work is merged, pushed or saved."""

from __future__ import annotations

from hub.core import keeping
from hub.desk import Asked, Desk
from hub.ops.registry import Operation
from hub.spokes import read_answer
from hub.store.rows import ViewRow
from hub.store.sessions import Filters
from protocol.codec import Object
from protocol.errors import CallError, Unavailable
from protocol.ops.catalogue import CLEANUP, WORKTREE_INSPECT, WORKTREE_REMOVE
from protocol.ops.sessions import Cleaned, Cleanup, CleanupParams
from protocol.ops.wire import Inspected, Removed

SPOKE_SECONDS = 60.0
ALL_AT_ONCE = 500


async def cleanup(desk: Desk, asked: Asked[CleanupParams]) -> Cleanup:
    rows = await _chosen(desk, asked.params)
    return Cleanup(results=[await _one(desk, asked, row) for row in rows])


async def _chosen(desk: Desk, params: CleanupParams) -> list[ViewRow]:
    """Those that are named, or a tree, or all that have ended and still have a worktree."""
    if params.session_ids is not None:
        return [await desk.store.sessions.view(id) for id in params.session_ids]
    if params.tree is not None:
        ids = [row.session_id for row in await desk.store.sessions.tree(params.tree)]
    else:
        every = Filters(
            None, None, ended=True, spoke=None, labels={}, before=None, limit=ALL_AT_ONCE
        )
        ids = [row.session_id for row in await desk.store.sessions.page(every)]
    rows = await desk.store.sessions.views(ids)
    return [row for row in rows if row.worktree is not None]


async def _one(desk: Desk, asked: Asked[CleanupParams], row: ViewRow) -> Cleaned:
    if row.worktree is None:
        return _cleaned(row, removed=False, reason="it has no worktree")
    params = asked.params
    try:
        seen = await _inspect(desk, asked, row)
    except Unavailable:
        seen = None
    choice = keeping.decide(row.state, seen, force=params.force)
    match choice:
        case keeping.Keep(why):
            return _cleaned(row, removed=False, reason=why)
        case keeping.Remove(why) if params.dry_run:
            return _cleaned(row, removed=False, reason=f"would be removed: {why}")
        case keeping.Remove(why) if seen is not None and not seen.exists:
            await _forget(desk, row, why)
            return _cleaned(row, removed=True, reason=why)
        case keeping.Remove():
            return await _remove(desk, asked, row, choice)


async def _remove(
    desk: Desk, asked: Asked[CleanupParams], row: ViewRow, choice: keeping.Remove
) -> Cleaned:
    params: Object = {
        "sessionId": row.session_id,
        "worktree": row.worktree,
        "branch": row.branch,
        "save": choice.save,
        "deleteBranch": choice.branch,
    }
    try:
        said = await desk.reach.ask(
            asked.context, row.spoke_id, WORKTREE_REMOVE.name, params, within=SPOKE_SECONDS
        )
        removed = read_answer(Removed, said)
    except CallError as error:
        return _cleaned(row, removed=False, reason=error.message)
    if removed.removed:
        await _forget(desk, row, choice.why)
    return _cleaned(
        row,
        removed=removed.removed,
        reason=removed.reason or choice.why,
        saved_ref=removed.saved_ref,
    )


async def _forget(desk: Desk, row: ViewRow, why: str) -> None:
    """The worktree is gone: nothing points at it any more."""
    await desk.store.sessions.release_worktree(row.session_id)
    await desk.store.sessions.note(row.session_id, "cleaned", {"reason": why})
    desk.bells.ring(row.session_id)


async def _inspect(desk: Desk, asked: Asked[CleanupParams], row: ViewRow) -> Inspected:
    params: Object = {
        "sessionId": row.session_id,
        "worktree": row.worktree,
        "branch": row.branch,
        "baseCommit": row.base_commit,
    }
    said = await desk.reach.ask(
        asked.context, row.spoke_id, WORKTREE_INSPECT.name, params, within=SPOKE_SECONDS
    )
    return read_answer(Inspected, said)


def _cleaned(row: ViewRow, *, removed: bool, reason: str, saved_ref: str | None = None) -> Cleaned:
    return Cleaned(
        session_id=row.session_id,
        branch=row.branch,
        worktree=row.worktree,
        removed=removed,
        reason=reason,
        saved_ref=saved_ref,
    )


OPERATION = Operation(CLEANUP, cleanup)
