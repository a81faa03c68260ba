"""coord.abort: end a session and all below it, and say what was seen dead."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from hub.desk import Asked, Desk, check_reach
from hub.ops.aborting import abort_one, receipt
from hub.ops.registry import Operation
from protocol.ops.catalogue import ABORT
from protocol.ops.sessions import AbortParams, Receipt

RING = 64  # sessions whose bells are listened to; a larger tree is looked at each second


async def abort(desk: Desk, asked: Asked[AbortParams]) -> Receipt:
    params = asked.params
    root = params.session_id
    await check_reach(desk, asked.principal, root, own=False)
    under, calls = await abort_one(
        desk,
        root,
        asked.principal.owner,
        params.reason,
        grace_ms=params.grace_ms,
        now=params.now,
    )
    said, open_ones = await receipt(desk, root, under, calls)
    if not params.wait or not open_ones:
        return said
    deadline = asyncio.get_running_loop().time() + params.wait_ms / 1_000
    with ExitStack() as stack:
        bell = stack.enter_context(desk.bells.listening(*open_ones[:RING]))
        while open_ones:
            said, open_ones = await receipt(desk, root, under, calls)
            left = deadline - asyncio.get_running_loop().time()
            if not open_ones or left <= 0:
                break
            await bell.wait(min(left, 1.0))
    return said


OPERATION = Operation(ABORT, abort)
