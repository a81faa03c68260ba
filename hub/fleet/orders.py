"""One order of a spoke's outbox, as that spoke is told it: with what it needs to begin."""

from __future__ import annotations

from typing import Final

from pydantic import JsonValue, TypeAdapter

from hub.core import handoff
from hub.fleet.connected import Connected
from hub.store import Store
from hub.store.rows.exchange import EarlierRow, OrderRow
from protocol import tokens
from protocol.codec import Object
from protocol.errors import Unavailable
from protocol.ops.wire import AnswerOrder, MessageOrder, Order, StartOrder, StopOrder

_BODIES: Final[dict[str, type[MessageOrder | AnswerOrder | StopOrder]]] = {
    "message": MessageOrder, "answer": AnswerOrder, "stop": StopOrder,
}  # fmt: skip
_SPEC: Final[TypeAdapter[dict[str, JsonValue]]] = TypeAdapter(dict[str, JsonValue])


async def written(store: Store, spoke: Connected, row: OrderRow) -> Order:
    """Raises Unavailable (TRY_AGAIN) when it is not for this link any more."""
    body: StartOrder | MessageOrder | AnswerOrder | StopOrder | None = None
    if row.kind == "start":
        body = await _start(store, spoke, row)
    elif (shape := _BODIES.get(row.kind)) is not None:
        body = shape.model_validate(row.body)
    return Order.model_validate({
        "seq": row.seq, "kind": row.kind, "session_id": row.session_id, "attempt": row.attempt,
        "body": body,
    })  # fmt: skip


async def _start(store: Store, spoke: Connected, row: OrderRow) -> StartOrder:
    return StartOrder.model_validate(
        {
            **_SPEC.validate_python(row.spec),
            "task": row.task,
            "repo": row.repo,
            "base": row.base,
            "branch": row.branch,
            "agent": row.agent,
            "sandbox": row.sandbox,
            "parent_session_id": row.parent_id,
            **await _earlier(store, row),
            "credential": await _credential(store, spoke, row),
        }
    )


async def _earlier(store: Store, row: OrderRow) -> Object:
    """What a session that ran before needs to go on."""
    was = await store.outbox.earlier(row.session_id, row.attempt) if row.attempt > 1 else None
    if was is None:
        return {"worktree": None, "resume": False}
    return {
        "worktree": was.worktree,
        "resume": was.worktree is not None,
        "resumed": True,
        "begun_at": was.base_commit,
        "saved": was.saved,
        "asked": was.asked,
        # A conversation is on the disk of the machine where it was held.
        "agent_session_id": was.worktree and was.agent_session_id,
        "brief": await _brief(store, row, was),
    }


async def _brief(store: Store, row: OrderRow, was: EarlierRow) -> str:
    """What an agent with turns is told when it takes over."""
    known = await store.policy.handoff(row.session_id)
    if known is None or row.agent == "command":
        return ""
    return handoff.brief(
        handoff.Known(
            known.task, known.branch, known.failed, was.saved, was.base_commit,
            known.told, known.said,
        )
    )  # fmt: skip


async def _credential(store: Store, spoke: Connected, row: OrderRow) -> str:
    token = spoke.tokens.get((row.session_id, row.attempt))
    if token is None:  # another hub, or one that died, had it in memory
        token = tokens.new(tokens.Kind.SESSION)
        digest = tokens.digest(token)
        given = (row.session_id, row.attempt, digest, spoke.epoch)
        if not await store.outbox.set_credential(*given):
            raise Unavailable("TRY_AGAIN", f"{row.session_id} is not for this link any more")
        spoke.tokens[row.session_id, row.attempt] = token
    return token
