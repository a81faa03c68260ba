"""coord.abort: end a session and all below it, and say what was seen dead."""

from __future__ import annotations

import asyncio

from hub.bells import Bell
from hub.desk import Asked, Desk, check_reach
from hub.ops.aborting import abort_one, receipt
from hub.ops.registry import Operation
from protocol.ops.catalogue import ABORT
from protocol.ops.sessions import AbortParams, Receipt

SAVED_SECONDS = 2.0  # for which it waits to name the refs, once all were seen dead


async def abort(desk: Desk, asked: Asked[AbortParams]) -> Receipt:
    params = asked.params
    root = params.session_id
    await check_reach(desk, asked.principal, root, own=False)
    under = await abort_one(
        desk,
        root,
        asked.principal.owner,
        params.reason,
        grace_ms=params.grace_ms,
        now=params.now,
    )
    if not params.wait:
        return (await receipt(desk, root, under)).said
    clock = asyncio.get_running_loop().time
    deadline = clock() + params.wait_ms / 1_000
    with desk.bells.listening(*under.hit) as bell:
        await _wait_over(desk, under.hit, bell, deadline)
        known = await receipt(desk, root, under)
        deadline = min(deadline, clock() + SAVED_SECONDS)
        while known.saving and (left := deadline - clock()) > 0:
            await bell.wait(min(left, 1.0))
            known = await receipt(desk, root, under)
    return known.said


async def _wait_over(desk: Desk, hit: set[str], bell: Bell, deadline: float) -> None:
    """Return when all of them have ended, or at ``deadline`` (loop time)."""
    while hit := set(await desk.store.sessions.live_among(list(hit))):
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            return
        await bell.wait(min(left, 1.0))


OPERATION = Operation(ABORT, abort)
