"""coord.cleanup: remove worktrees whose work is merged, pushed or saved."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from hub.core import keeping
from hub.desk import Asked, Desk
from hub.fleet.spokes import read_answer
from hub.ops.registry import Operation
from hub.store.rows.sessions import ViewRow
from hub.store.sessions import Filters
from protocol.codec import Object
from protocol.errors import CallError, Unavailable
from protocol.ops.catalogue import CLEANUP, WORKTREE_INSPECT, WORKTREE_REMOVE
from protocol.ops.keeping import Cleaned, Cleanup, CleanupParams
from protocol.ops.shapes import Params
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
        return _cleaned(row, "it has no worktree")
    params = asked.params
    try:
        seen = await _inspect(desk, asked, row)
    except Unavailable:
        seen = None
    except CallError as error:  # what cannot be looked at is kept
        return _cleaned(row, f"it cannot be looked at: {error.message}")
    choice = keeping.decide(row.state, seen, force=params.force, remote=params.remote_branch)
    if isinstance(choice, keeping.Keep) or seen is None:
        return _cleaned(row, choice.why)
    steps = keeping.steps(choice, seen, row.branch, asked_remote=params.remote_branch)
    if params.dry_run:
        return _cleaned(row, f"would be removed: {choice.why}", steps=steps)
    if not seen.exists:
        await forget(desk, row.session_id, row.attempt, choice.why)
        return _cleaned(row, choice.why, removed=True, steps=steps)
    return await _remove(desk, asked, row, choice, steps)


async def _remove(
    desk: Desk,
    asked: Asked[CleanupParams],
    row: ViewRow,
    choice: keeping.Remove,
    steps: list[str],
) -> Cleaned:
    params: Object = {
        "sessionId": row.session_id,
        "worktree": row.worktree,
        "branch": row.branch,
        "force": choice.force,
        "deleteBranch": choice.branch,
        "remoteBranch": choice.remote,
        "why": choice.why,
    }
    try:
        removed = await take_away(desk, asked, row.spoke_id, params)
    except CallError as error:
        return _cleaned(row, error.message)
    if removed.removed:
        await forget(desk, row.session_id, row.attempt, choice.why, removed)
    kept = removed.remote_kept and f"the branch stays at its repository: {removed.remote_kept}"
    return _cleaned(
        row,
        removed.reason or kept or choice.why,
        removed=removed.removed,
        steps=steps,
        saved_ref=removed.saved_ref,
        trash=removed.trash,
    )


async def take_away(
    desk: Desk, asked: Asked[Params], spoke_id: str | None, params: Object
) -> Removed:
    """Have a spoke remove a worktree. Raises what it is answered."""
    said = await desk.reach.ask(
        asked.context, spoke_id, WORKTREE_REMOVE.name, params, within=SPOKE_SECONDS
    )
    return read_answer(Removed, said)


async def forget(
    desk: Desk, session_id: str, attempt: int, why: str, removed: Removed | None = None
) -> None:
    """The worktree that this attempt left is gone: nothing points at it any more."""
    body: dict[str, JsonValue] = {"reason": why}
    if removed is not None:
        body |= {"trash": removed.trash, "savedRef": removed.saved_ref}
    await desk.store.sessions.release_worktree(session_id, attempt)
    await desk.store.sessions.note(session_id, "cleaned", body)
    desk.bells.ring(session_id)


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


def _cleaned(
    row: ViewRow,
    reason: str,
    *,
    removed: bool = False,
    steps: Sequence[str] = (),
    saved_ref: str | None = None,
    trash: str | None = None,
) -> Cleaned:
    return Cleaned(
        session_id=row.session_id,
        branch=row.branch,
        worktree=row.worktree,
        removed=removed,
        reason=reason,
        steps=list(steps),
        saved_ref=saved_ref,
        trash=trash,
    )


OPERATION = Operation(CLEANUP, cleanup)
