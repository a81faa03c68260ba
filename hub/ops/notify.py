"""coord.notify: from inside a session, tell its story; `blocking` is a safe exit."""

from __future__ import annotations

from pydantic import JsonValue

from hub.bells import outbox
from hub.desk import Asked, Desk, check_reach
from hub.ops.registry import Operation
from protocol.errors import InvalidArgument
from protocol.ops.catalogue import NOTIFY
from protocol.ops.sessions import Notified, NotifyParams

SAFE_EXIT_MS = 10_000  # what an agent has to end by itself after it said that it is blocked


async def notify(desk: Desk, asked: Asked[NotifyParams]) -> Notified:
    params = asked.params
    id = params.session_id or asked.principal.session_id
    if id is None:
        raise InvalidArgument(
            "BAD_VALUE",
            "from outside a session, say which one",
            advice="coordctl notify --session ID TEXT",
            details={"field": "sessionId"},
        )
    await check_reach(desk, asked.principal, id, own=True)
    said: dict[str, JsonValue] = {"level": params.level, "text": params.text}
    row = await desk.store.sessions.view(id)
    seq = await desk.store.sessions.note(id, "notify", said)
    if row.parent_id is not None:
        await desk.store.sessions.note(row.parent_id, "child_notify", {**said, "sessionId": id})
        desk.bells.ring(row.parent_id)
    if params.level == "blocking":
        await _safe_exit(desk, id, params.text)
    desk.bells.ring(id)
    return Notified(session_id=id, seq=seq)


async def _safe_exit(desk: Desk, id: str, why: str) -> None:
    ordered = await desk.store.sessions.request_exit(
        id, {"outcome": "blocked", "reason": why[:2_000], "graceMs": SAFE_EXIT_MS}
    )
    if ordered is not None:
        desk.bells.ring(outbox(ordered.spoke_id))


OPERATION = Operation(NOTIFY, notify)
