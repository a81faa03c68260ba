"""hub.list and hub.drain: the hubs of this database, and sending the links of one to the others."""

from __future__ import annotations

from hub.bells import HUBS
from hub.desk import Asked, Desk
from hub.ops.registry import Operation
from hub.store.rows.fleet import HubLiveRow
from protocol.errors import FailedPrecondition, NotFound
from protocol.ops import catalogue
from protocol.ops.shapes import Nothing
from protocol.ops.spokes import HubDrainParams, HubList, HubView


async def list_hubs(desk: Desk, _: Asked[Nothing]) -> HubList:
    return HubList(
        hubs=[_view(desk, row) for row in await desk.store.fleet.hubs()],
        doubt=await desk.store.fleet.doubt(),
    )


async def drain(desk: Desk, asked: Asked[HubDrainParams]) -> HubView:
    params = asked.params
    hubs = {row.instance: row for row in await desk.store.fleet.hubs()}
    instance = params.hub or desk.instance
    if instance not in hubs:
        raise NotFound("HUB_NOT_FOUND", f"no hub {instance[:64]!r}", advice="coordctl hub list")
    others = [row for row in hubs.values() if row.instance != instance and not row.draining]
    if params.draining and not others:
        raise FailedPrecondition(
            "ONLY_HUB",
            "no other hub is there to take over",
            advice="start another one on the same database first",
        )
    await desk.store.fleet.drain(instance, on=params.draining)
    word = "draining" if params.draining else "taking links again"
    await desk.store.access.audit(
        asked.principal.owner, asked.context.call.op, instance, word, asked.address
    )
    desk.bells.ring(HUBS)
    [row] = [row for row in await desk.store.fleet.hubs() if row.instance == instance]
    return _view(desk, row)


def _view(desk: Desk, row: HubLiveRow) -> HubView:
    return HubView(
        hub=row.instance,
        url=row.url,
        version=row.version,
        state="draining" if row.draining else "online",
        leads=row.term is not None,
        term=row.term,
        spokes=row.spokes,
        started_at=row.started_at,
        seen_at=row.seen_at,
        answers=row.instance == desk.instance,
    )


OPERATIONS = (
    Operation(catalogue.HUB_LIST, list_hubs),
    Operation(catalogue.HUB_DRAIN, drain),
)
