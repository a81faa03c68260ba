"""spoke.list, cordon, drain, invite, revoke, enroll."""

from __future__ import annotations

import asyncio

from pydantic import JsonValue

from hub.bells import QUEUE, ROOM
from hub.desk import Asked, Desk
from hub.ops import views
from hub.ops.aborting import abort_one
from hub.ops.registry import Operation
from protocol import ids, tokens
from protocol.errors import (
    Cancelled,
    Conflict,
    FailedPrecondition,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from protocol.limits import CLOSE_FORBIDDEN, CLOSE_UNAUTHENTICATED
from protocol.ops import catalogue
from protocol.ops.spokes import (
    CordonParams,
    Drained,
    DrainParams,
    Enrolled,
    EnrollParams,
    Invited,
    InviteParams,
    Revoked,
    RevokeParams,
    SpokeList,
    SpokeListParams,
    SpokeView,
)


async def list_spokes(desk: Desk, asked: Asked[SpokeListParams]) -> SpokeList:
    which = asked.params.spoke
    try:
        rows = (
            await desk.store.exchange.spokes()
            if which is None
            else [await desk.store.exchange.spoke(which)]
        )
    except Unavailable as away:
        here = {spoke.spoke_id for spoke in desk.spokes.connected()}
        return desk.memory.spokes(which, here, away)
    shown = [views.spoke(row) for row in rows]
    if which is None:
        desk.memory.keep_spokes(shown)
    return SpokeList(spokes=shown)


async def cordon(desk: Desk, asked: Asked[CordonParams]) -> SpokeView:
    row = await desk.store.exchange.spoke(asked.params.spoke)
    if row.revoked_at is not None:
        raise FailedPrecondition(
            "SPOKE_REVOKED",
            f"the spoke {row.name} was revoked",
            advice="invite its machine anew: coordctl spoke invite",
        )
    on = asked.params.cordoned
    await desk.store.exchange.set_cordoned(row.spoke_id, cordoned=on, draining=on and row.draining)
    desk.bells.ring(QUEUE)
    await _book(desk, asked, row.spoke_id, "cordoned" if on else "uncordoned")
    return views.spoke(await desk.store.exchange.spoke(row.spoke_id))


async def drain(desk: Desk, asked: Asked[DrainParams]) -> Drained:
    """No new work; then what runs there is aborted or waited for."""
    params = asked.params
    row = await desk.store.exchange.spoke(params.spoke)
    await desk.store.exchange.set_cordoned(row.spoke_id, cordoned=True, draining=True)
    await _book(desk, asked, row.spoke_id, "draining")
    live = await desk.store.exchange.live_on(row.spoke_id)
    if params.abort:
        for one in live:
            await abort_one(desk, one.session_id, asked.principal.owner, "its spoke is drained")
    deadline = asyncio.get_running_loop().time() + params.wait_ms / 1_000
    with desk.bells.listening(QUEUE, ROOM) as bell:
        while live := await desk.store.exchange.live_on(row.spoke_id):
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await bell.wait(min(left, 1.0))
    shown = views.spoke(await desk.store.exchange.spoke(row.spoke_id))
    return Drained(spoke=shown, remaining=len(live))


async def invite(desk: Desk, asked: Asked[InviteParams]) -> Invited:
    invited = await new_join(desk, asked.params)
    await _book(desk, asked, asked.params.name, "invited")
    return invited


async def new_join(desk: Desk, params: InviteParams) -> Invited:
    """A join string; only its token's digest is kept."""
    token = tokens.new(tokens.Kind.JOIN)
    detail: dict[str, JsonValue] = {
        "name": params.name, "labels": dict(params.labels), "slots": params.slots,
    }  # fmt: skip
    _, expires = await desk.store.access.issue(
        token, "join", params.name or "a new spoke", "joining", params.ttl_ms / 1_000, detail
    )
    join = tokens.Join(desk.address.url, token, desk.address.pin, tuple(desk.health.others))
    return Invited(join=str(join), expires_at=expires)


async def revoke(desk: Desk, asked: Asked[RevokeParams]) -> Revoked:
    row = await desk.store.exchange.spoke(asked.params.spoke)
    await desk.store.exchange.revoke(row.spoke_id)
    revoked = Cancelled("SPOKE_REVOKED", f"the spoke {row.name} was revoked")
    desk.links.close(row.spoke_id, CLOSE_FORBIDDEN, revoked)
    why = f"its spoke was revoked: {asked.params.reason}".rstrip(": ")
    lost: list[str] = []
    for one in await desk.store.exchange.live_on(row.spoke_id):
        await desk.store.exchange.give_up(one.session_id, one.attempt, why)
        desk.links.close(one.session_id, CLOSE_UNAUTHENTICATED, revoked)
        desk.bells.ring(one.session_id)
        lost.append(one.session_id)
    await _book(desk, asked, row.spoke_id, "revoked")
    return Revoked(spoke=views.spoke(await desk.store.exchange.spoke(row.spoke_id)), lost=lost)


async def enroll(desk: Desk, asked: Asked[EnrollParams]) -> Enrolled:
    """A join token becomes a spoke: once, under the name and labels that it fixes."""
    params = asked.params
    used = await desk.store.access.use(asked.principal.credential or "", "join")
    if used is None:
        raise Unauthenticated("JOIN_TOKEN_USED", "this join token was used, or its time is over")
    fixed = views.object_of(used.detail)
    name = _name(fixed.get("name"), params)
    most = fixed.get("slots")
    spoke_id = ids.new_spoke()
    made = await desk.store.exchange.enroll(
        spoke_id,
        name,
        bytes.fromhex(params.public_key),
        {**params.labels, **views.labels(fixed.get("labels", {}))},
        params.slots,
        most if isinstance(most, int) else None,
    )
    if not made:
        raise Conflict(
            "NAME_TAKEN",
            f"a spoke named {name} is there already",
            advice=f"join under another name, or: coordctl spoke revoke {name}",
        )
    await _book(desk, asked, spoke_id, "enrolled")
    return Enrolled(spoke_id=spoke_id, hub_id=desk.hub_id, name=name)


def _name(fixed: JsonValue, params: EnrollParams) -> str:
    if not isinstance(fixed, str):
        return params.name or params.host
    if params.name not in (None, fixed):
        raise PermissionDenied("WRONG_NAME", f"this join token is for a spoke named {fixed}")
    return fixed


async def _book(desk: Desk, asked: Asked[object], object: str | None, outcome: str) -> None:
    await desk.store.access.audit(
        asked.principal.owner, asked.context.call.op, object, outcome, asked.address
    )


OPERATIONS = (
    Operation(catalogue.SPOKE_LIST, list_spokes),
    Operation(catalogue.SPOKE_CORDON, cordon),
    Operation(catalogue.SPOKE_DRAIN, drain),
    Operation(catalogue.SPOKE_INVITE, invite),
    Operation(catalogue.SPOKE_REVOKE, revoke),
    Operation(catalogue.SPOKE_ENROLL, enroll),
)
