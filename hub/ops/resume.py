"""coord.resume: start an ended session again, with what it had done."""

from __future__ import annotations

from hub.bells import QUEUE, outbox
from hub.core import resuming
from hub.core.placement import Room
from hub.desk import Asked, Desk, check_reach
from hub.ops import views
from hub.ops.registry import Operation
from hub.ops.spawn import wait_for
from hub.store.rows.sessions import PastRow
from hub.store.rows.spokes import SpokeRow
from protocol.errors import Conflict, FailedPrecondition
from protocol.ops.catalogue import RESUME
from protocol.ops.sessions import Resumed, ResumeParams


async def resume(desk: Desk, asked: Asked[ResumeParams]) -> Resumed:
    params = asked.params
    await check_reach(desk, asked.principal, params.session_id, own=False)
    if params.spoke is not None:
        await desk.store.exchange.spoke(params.spoke)
    past = await desk.store.resuming.past(params.session_id)
    rooms = [_room(spoke) for spoke in await desk.store.exchange.spokes() if _takes_work(spoke)]
    wish = resuming.Wish(params.spoke, params.elsewhere, params.accept_loss)
    start = resuming.decide(_past(past), wish, rooms)
    if isinstance(start, FailedPrecondition):
        raise start
    why = params.reason or f"resumed by {asked.principal.owner}"
    verdict = await desk.store.resuming.resume(params.session_id, start.on, why, lost=start.give_up)
    _check(params.session_id, verdict)
    bells = [outbox(past.spoke_id)] if past.spoke_id else []
    desk.bells.ring(params.session_id, QUEUE, *bells)
    row = await wait_for(desk, params.session_id, params.until)
    saved = views.object_of(past.saved).get("commit")
    return Resumed(
        session=views.session(row),
        saved_commit=saved if isinstance(saved, str) else None,
        lost=start.lost,
    )


def _check(id: str, verdict: str) -> None:
    match verdict:
        case "ok":
            return
        case "branch_taken":
            raise Conflict(
                "REF_CONFLICT",
                "a live session has its branch by now",
                advice="end that one first: coordctl ps",
            )
        case "parent_aborted":
            raise FailedPrecondition("PARENT_ABORTED", "its parent was aborted a moment ago")
        case _:
            raise FailedPrecondition(
                "SESSION_LIVE", "it was started a moment ago", advice=f"coordctl status {id}"
            )


def _past(row: PastRow) -> resuming.Past:
    saved = views.object_of(row.saved)
    commit, pushed, why = (saved.get(key) for key in ("commit", "pushedCommit", "why"))
    return resuming.Past(
        session_id=row.session_id,
        state=row.state,
        parent_aborted=row.parent_desired == "abort",
        requires=views.labels(row.requires),
        sandbox=row.sandbox,
        spoke_id=row.spoke_id,
        spoke=row.spoke,
        spoke_online=row.spoke_online is True,
        has_worktree=row.worktree is not None,
        saved=commit if isinstance(commit, str) else None,
        pushed=pushed if isinstance(pushed, str) else None,
        saved_on=row.saved_on,
        not_pushed=why if isinstance(why, str) else "",
    )


def _takes_work(row: SpokeRow) -> bool:
    return row.online and not (row.cordoned or row.draining or row.revoked_at) and row.slots > 0


def _room(row: SpokeRow) -> Room:
    labels = views.labels(row.labels)
    return Room(row.spoke_id, row.name, labels, row.slots, row.live, row.sandboxes)


OPERATION = Operation(RESUME, resume)
