"""trash.list, trash.restore: removed worktrees that can be had back."""

from __future__ import annotations

from hub.desk import Asked, Desk
from hub.fleet.spokes import read_answer
from hub.ops.registry import Operation
from protocol.errors import CallError
from protocol.ops.catalogue import TRASH_LIST, TRASH_RESTORE, WORKTREE_RESTORE, WORKTREE_TRASH
from protocol.ops.keeping import TrashEntry, TrashList, TrashListParams, TrashRestoreParams
from protocol.ops.wire import GivenBack, Trash

SPOKE_SECONDS = 60.0


async def list_trash(desk: Desk, asked: Asked[TrashListParams]) -> TrashList:
    which = asked.params.spoke
    spokes = await desk.store.exchange.spokes()
    if which is not None:
        spokes = [await desk.store.exchange.spoke(which)]
    items: list[TrashEntry] = []
    unasked: list[str] = []
    for spoke in spokes:
        try:
            said = await desk.reach.ask(
                asked.context, spoke.spoke_id, WORKTREE_TRASH.name, {}, within=SPOKE_SECONDS
            )
            found = read_answer(Trash, said).items
        except CallError:
            unasked.append(spoke.name)
            continue
        items += [TrashEntry(**item.model_dump(), spoke=spoke.name) for item in found]
    return TrashList(items=items, unasked=unasked)


async def restore(desk: Desk, asked: Asked[TrashRestoreParams]) -> GivenBack:
    spoke = await desk.store.exchange.spoke(asked.params.spoke)
    said = await desk.reach.ask(
        asked.context,
        spoke.spoke_id,
        WORKTREE_RESTORE.name,
        {"id": asked.params.id},
        within=SPOKE_SECONDS,
    )
    back = read_answer(GivenBack, said)
    await remember(desk, back.session_id, spoke.spoke_id, back.worktree)
    return back


async def remember(desk: Desk, session_id: str, spoke_id: str, worktree: str) -> None:
    """The worktree is there again, if this is where the session was last."""
    if await desk.store.resuming.found_worktree(session_id, spoke_id, worktree):
        await desk.store.sessions.note(session_id, "restored", {"worktree": worktree})
        desk.bells.ring(session_id)


OPERATIONS = (Operation(TRASH_LIST, list_trash), Operation(TRASH_RESTORE, restore))
