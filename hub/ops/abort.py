"""coord.abort: end a session and all below it, and say what was seen dead."""

from __future__ import annotations

import asyncio

from hub.bells import QUEUE, Bell
from hub.desk import Asked, Desk, check_reach
from hub.ops.aborting import abort_one, receipt
from hub.ops.registry import Operation
from protocol.errors import PermissionDenied
from protocol.ops.catalogue import ABORT, Role
from protocol.ops.sessions import AbortParams, Receipt
from protocol.session import State

SAVED_SECONDS = 2.0  # for which it waits to name the refs, once all were seen dead


async def abort(desk: Desk, asked: Asked[AbortParams]) -> Receipt:
    params = asked.params
    root = params.session_id
    await check_reach(desk, asked.principal, root, own=False)
    if params.force and asked.principal.role is Role.SESSION:
        raise PermissionDenied("FORBIDDEN", "only a person gives up what nobody saw dead")
    under = await abort_one(
        desk,
        root,
        asked.principal.owner,
        params.reason,
        grace_ms=params.grace_ms,
        now=params.now,
    )
    with desk.bells.listening(*under.hit) as bell:
        if params.force:
            await _give_up(desk, asked, root)
        if not params.wait:
            return (await receipt(desk, root, under)).said
        clock = asyncio.get_running_loop().time
        deadline = clock() + params.wait_ms / 1_000
        await _wait_over(desk, under.live, bell, deadline)
        known = await receipt(desk, root, under)
        deadline = min(deadline, clock() + SAVED_SECONDS)
        while known.saving and (left := deadline - clock()) > 0:
            await bell.wait(min(left, 1.0))
            known = await receipt(desk, root, under)
    return known.said


async def _wait_over(desk: Desk, live: set[str], bell: Bell, deadline: float) -> None:
    """Return when all of them have ended, or at ``deadline`` (loop time). One that ends rings:
    until each has, there is nothing to look for."""
    while live and (left := deadline - asyncio.get_running_loop().time()) > 0:
        await bell.wait_each(live, min(left, 1.0))
        live = set(await desk.store.sessions.live_among(list(live)))


async def _give_up(desk: Desk, asked: Asked[AbortParams], root: str) -> None:
    """What is out of reach is called aborted, and unconfirmed. If its spoke comes back after all,
    it is told to stop what it has, and to save it."""
    ids = [row.session_id for row in await desk.store.sessions.tree(root) if not row.spared]
    why = f"given up by {asked.principal.owner}: nobody saw it dead"
    for row in await desk.store.sessions.views(ids):
        if row.state is State.ABORTING and not row.spoke_online:
            await desk.store.exchange.give_up(
                row.session_id, row.attempt, why, only_in=State.ABORTING
            )
            desk.bells.ring(row.session_id, QUEUE)


OPERATION = Operation(ABORT, abort)
