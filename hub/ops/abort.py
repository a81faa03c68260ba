"""coord.abort: end a session and all below it, and say what was seen dead."""

from __future__ import annotations

import asyncio

from hub.desk import Asked, Desk, check_reach
from hub.ops.aborting import abort_one, receipt
from hub.ops.registry import Operation
from protocol.ops.catalogue import ABORT
from protocol.ops.sessions import AbortParams, Receipt


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
    if params.wait:
        await _wait_over(desk, under.hit, params.wait_ms / 1_000)
    return await receipt(desk, root, under)


async def _wait_over(desk: Desk, hit: set[str], within: float) -> None:
    """Return when all of them have ended, or when the time is over."""
    deadline = asyncio.get_running_loop().time() + within
    with desk.bells.listening(*hit) as bell:
        while hit := set(await desk.store.sessions.live_among(list(hit))):
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await bell.wait(min(left, 1.0))


OPERATION = Operation(ABORT, abort)
