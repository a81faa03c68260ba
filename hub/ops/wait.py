"""coord.wait: answer when sessions have got somewhere."""

from __future__ import annotations

import asyncio

from hub.desk import Asked, Desk, check_reach
from hub.ops import views
from hub.ops.registry import Operation
from hub.store.sessions import no_session
from protocol.ops.catalogue import WAIT
from protocol.ops.sessions import SessionView, Waited, WaitParams
from protocol.session import State

_BEFORE_RUNNING = frozenset({State.QUEUED, State.ASSIGNED, State.STARTING})


async def wait(desk: Desk, asked: Asked[WaitParams]) -> Waited:
    params = asked.params
    for id in params.session_ids:
        await check_reach(desk, asked.principal, id, own=False)
    loop = asyncio.get_running_loop()
    limit = params.timeout_ms
    deadline = None if limit is None else loop.time() + limit / 1_000
    with desk.bells.listening(*params.session_ids) as bell:
        while True:
            sessions = await _look(desk, params)
            there = [_is_there(session, params) for session in sessions]
            if all(there) if params.mode == "all" else any(there):
                return Waited(reached=True, sessions=sessions)
            left = 1.0 if deadline is None else deadline - loop.time()
            if left <= 0:
                return Waited(reached=False, sessions=sessions)
            await bell.wait(min(left, 1.0))


def _is_there(session: SessionView, params: WaitParams) -> bool:
    if params.until == "running":
        return session.state not in _BEFORE_RUNNING
    return session.state.ended


async def _look(desk: Desk, params: WaitParams) -> list[SessionView]:
    rows = {row.session_id: row for row in await desk.store.sessions.views(params.session_ids)}
    for id in params.session_ids:
        if id not in rows:
            raise no_session(id)
    return [views.session(rows[id]) for id in params.session_ids]


OPERATION = Operation(WAIT, wait)
