"""coord.message: say something to a session's agent, once, in order."""

from __future__ import annotations

import asyncio

from hub.bells import QUEUE, outbox
from hub.desk import Asked, Desk
from hub.ops.registry import Operation
from hub.store.rows.exchange import MessageRow
from protocol import ids
from protocol.agents import Mode, effective_mode
from protocol.errors import FailedPrecondition, NotFound
from protocol.ops.catalogue import MESSAGE, Role
from protocol.ops.sessions import Delivered, MessageParams


async def message(desk: Desk, asked: Asked[MessageParams]) -> Delivered:
    params = asked.params
    sender = asked.principal.session_id
    await _check_may_say(desk, asked)
    row = await desk.store.sessions.view(params.session_id)
    mode = _mode_of(row.agent, params)
    id = params.message_id or ids.new_message()
    ordered = await desk.store.sessions.say(params.session_id, id, params.text, mode, sender)
    if ordered is not None:
        desk.bells.ring(outbox(ordered.spoke_id))
    desk.bells.ring(params.session_id, QUEUE)
    said = await _wait_delivered(desk, params, id)
    return Delivered.model_validate(
        {"message_id": id, "mode": said.mode, "state": said.state, "reason": said.reason}
    )


def _mode_of(agent: str, params: MessageParams) -> Mode:
    """The mode that the agent can do; which one came of it is told with the delivery."""
    mode = effective_mode(agent, params.mode)
    if mode != params.mode and params.on_unsupported == "fail":
        raise FailedPrecondition(
            "MODE_UNSUPPORTED",
            f"the {agent} agent cannot {params.mode}",
            advice='send it with mode "queue", or let it degrade (onUnsupported)',
        )
    return mode


async def _check_may_say(desk: Desk, asked: Asked[MessageParams]) -> None:
    """A session may speak to what is below it, and to its parent."""
    principal = asked.principal
    if principal.role is not Role.SESSION:
        return
    own = await desk.store.sessions.view(principal.session_id or "")
    to = asked.params.session_id
    is_child = to != own.session_id and await desk.store.sessions.is_below(to, own.session_id)
    if to != own.parent_id and not is_child:
        raise NotFound("SESSION_NOT_FOUND", f"no session {to[:64]!r} within your reach")


async def _wait_delivered(desk: Desk, params: MessageParams, id: str) -> MessageRow:
    """The message as it stands when it is delivered, has failed, or the time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + params.wait_ms / 1_000
    with desk.bells.listening(params.session_id) as bell:
        while True:
            row = await desk.store.sessions.message(id)
            if row is None:
                raise NotFound("MESSAGE_NOT_FOUND", f"no message {id}")
            left = deadline - loop.time()
            if row.state != "queued" or left <= 0:
                return row
            await bell.wait(min(left, 1.0))


OPERATION = Operation(MESSAGE, message)
