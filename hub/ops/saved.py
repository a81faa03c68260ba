"""session.saved: a spoke tells where the work of an attempt was saved."""

from __future__ import annotations

import re
from typing import Final

from hub.desk import Asked, Desk
from hub.ops.registry import Operation
from protocol.errors import InvalidArgument, NotFound
from protocol.ops.catalogue import SESSION_SAVED
from protocol.ops.wire import Saved, SavedTaken

_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")


async def saved(desk: Desk, asked: Asked[Saved]) -> SavedTaken:
    report, spoke_id = asked.params, asked.principal.id
    _check(report)
    desk.spokes.hear(spoke_id)
    verdict = await desk.store.exchange.saved(spoke_id, report)
    match verdict:
        case "ok" | "stale_epoch":
            desk.bells.ring(report.session_id)
            return SavedTaken(verdict=verdict)
        case _:
            raise NotFound("ATTEMPT_NOT_FOUND", "this spoke never had that attempt")


def _check(report: Saved) -> None:
    """The ref is the one that this attempt has, and a commit is an id: others will fetch them."""
    ref = f"refs/coord/{report.kind}/{report.session_id}"
    if report.kind == "salvage":
        ref += f"/{report.attempt}"
    if report.ref != ref:
        raise InvalidArgument("BAD_VALUE", f"it is {ref}", details={"field": "ref"})
    for field, commit in (("commit", report.commit), ("pushedCommit", report.pushed_commit)):
        if commit is not None and not _COMMIT.match(commit):
            raise InvalidArgument("BAD_VALUE", "it is no commit", details={"field": field})


OPERATION = Operation(SESSION_SAVED, saved)
