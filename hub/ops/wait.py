"""coord.wait: answer when sessions have got somewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hub.desk import Asked, Desk, check_reach
from hub.ops import views
from hub.ops.registry import Operation
from hub.store.sessions import no_session
from protocol.errors import InvalidArgument
from protocol.ops.catalogue import WAIT
from protocol.ops.sessions import SessionView, Waited, WaitParams
from protocol.session import Activity, State

_BEFORE_RUNNING = frozenset({State.QUEUED, State.ASSIGNED, State.STARTING})
_LOOK_AGAIN = 1.0


async def wait(desk: Desk, asked: Asked[WaitParams]) -> Waited:
    params = asked.params
    await _check(desk, asked)
    loop = asyncio.get_running_loop()
    limit = params.timeout_ms
    deadline = None if limit is None else loop.time() + limit / 1_000
    ids = list(params.session_ids)
    while True:
        ids += await _joined(desk, params.below, ids)
        with desk.bells.listening(*ids, *([params.below] if params.below else [])) as bell:
            sessions = await _look(desk, ids)
            if _is_over(sessions, params):
                return Waited(reached=True, sessions=sessions)
            left = _LOOK_AGAIN if deadline is None else deadline - loop.time()
            if left <= 0:
                return Waited(reached=False, sessions=sessions)
            await bell.wait(min(left, _LOOK_AGAIN))


async def _check(desk: Desk, asked: Asked[WaitParams]) -> None:
    params = asked.params
    if not params.session_ids and params.below is None:
        raise InvalidArgument(
            "BAD_VALUE",
            "say which sessions, or what they are below",
            advice="coordctl wait REF, or coordctl wait --below REF",
            details={"field": "sessionIds"},
        )
    for id in params.session_ids:
        await check_reach(desk, asked.principal, id, own=False)
    if params.below is not None:
        await check_reach(desk, asked.principal, params.below, own=True)


async def _joined(desk: Desk, below: str | None, known: Sequence[str]) -> list[str]:
    """Those that are live below it and were not seen there before."""
    if below is None:
        return []
    tree = await desk.store.sessions.tree(below)
    new = [row.session_id for row in tree if row.level > 0 and row.session_id not in set(known)]
    return await desk.store.sessions.live_among(new) if new else []


def _is_over(sessions: Sequence[SessionView], params: WaitParams) -> bool:
    there = [_is_there(session, params) for session in sessions]
    return all(there) if params.mode == "all" or not there else any(there)


def _is_there(session: SessionView, params: WaitParams) -> bool:
    match params.until:
        case "running":
            return session.state not in _BEFORE_RUNNING
        case "attention":
            return session.state.ended or _needs_attention(session)
        case "ended":
            return session.state.ended


def _needs_attention(session: SessionView) -> bool:
    match session.state:
        case State.QUEUED:
            return session.limited_until is not None
        case State.UNKNOWN:
            return True
        case State.RUNNING:
            said = session.agent_state
            is_silent = said is not None and said.silent is not None
            return session.activity is Activity.WAITING or is_silent
        case _:
            return False


async def _look(desk: Desk, ids: Sequence[str]) -> list[SessionView]:
    rows = {row.session_id: row for row in await desk.store.sessions.views(ids)}
    for id in ids:
        if id not in rows:
            raise no_session(id)
    return [views.session(rows[id]) for id in ids]


OPERATION = Operation(WAIT, wait)
