"""coord.recover: where the records and the machines disagree, and doing something about it."""

from __future__ import annotations

from typing import assert_never

from hub.bells import QUEUE
from hub.core import recovering
from hub.desk import Asked, Desk
from hub.fleet.spokes import read_answer
from hub.ops.cleanup import forget, take_away
from hub.ops.registry import Operation
from hub.ops.trash import remember
from hub.store.rows.sessions import HeldSomewhereRow
from hub.store.rows.spokes import SpokeRow
from protocol.codec import Object
from protocol.errors import CallError, NotFound
from protocol.ops.catalogue import RECOVER, SPOKE_SURVEY
from protocol.ops.keeping import Finding, RecoverParams, Recovery
from protocol.ops.wire import Survey

SPOKE_SECONDS = 60.0


async def recover(desk: Desk, asked: Asked[RecoverParams]) -> Recovery:
    spokes = await desk.store.exchange.spokes()
    if asked.params.spoke is not None:
        spokes = [await desk.store.exchange.spoke(asked.params.spoke)]
    surveys, unasked = await _ask(desk, asked, spokes)
    mentioned = {id for survey in surveys.values() for id in _mentioned(survey)}
    rows = await desk.store.resuming.held_somewhere(
        sorted(mentioned), desk.settings.lost_after_seconds
    )
    found = recovering.decide([_record(row) for row in rows], surveys)
    names = {spoke.spoke_id: spoke.name for spoke in spokes}
    if asked.params.spoke is not None:
        found = [one for one in found if one.spoke_id in names]
    findings = [await _finding(desk, asked, one, names) for one in found]
    return Recovery(findings=findings, unasked=unasked)


async def _ask(
    desk: Desk, asked: Asked[RecoverParams], spokes: list[SpokeRow]
) -> tuple[dict[str, Survey], list[str]]:
    surveys: dict[str, Survey] = {}
    unasked: list[str] = []
    for spoke in spokes:
        try:
            said = await desk.reach.ask(
                asked.context, spoke.spoke_id, SPOKE_SURVEY.name, {}, within=SPOKE_SECONDS
            )
            surveys[spoke.spoke_id] = read_answer(Survey, said)
        except CallError:
            unasked.append(spoke.name)
    return surveys, unasked


async def _finding(
    desk: Desk, asked: Asked[RecoverParams], one: recovering.Found, names: dict[str, str]
) -> Finding:
    applied, trouble = False, ""
    if asked.params.apply and one.act is not None:
        try:
            await _act(desk, asked, one.act)
            applied = True
        except CallError as error:
            trouble = error.message
        desk.bells.ring(one.session_id, QUEUE)
    spoke = names.get(one.spoke_id or "", one.spoke_id)
    return Finding(
        kind=one.kind, session_id=one.session_id, spoke=spoke, what=one.what,
        action=one.action, applied=applied, trouble=trouble,
    )  # fmt: skip


async def _act(
    desk: Desk,
    asked: Asked[RecoverParams],
    act: recovering.Act,
) -> None:
    match act:
        case recovering.GiveUp(id, attempt, why):
            if await desk.store.exchange.give_up(id, attempt, why) is None:
                raise NotFound("ATTEMPT_NOT_FOUND", "it is not as it was a moment ago")
        case recovering.Forget(id, attempt):
            await forget(desk, id, attempt, "the worktree was gone already")
        case recovering.Remember(spoke_id, id, worktree):
            await remember(desk, id, spoke_id, worktree)
        case recovering.TakeAway(spoke_id, id, worktree, branch):
            params: Object = {
                "sessionId": id, "worktree": worktree, "branch": branch, "force": True,
                "deleteBranch": False, "why": "it belonged to nothing",
            }  # fmt: skip
            await take_away(desk, asked, spoke_id, params)
        case _:
            assert_never(act)


def _mentioned(survey: Survey) -> set[str]:
    held = {one.session_id for one in survey.attempts}
    files = {one.session_id for one in survey.worktrees}
    return held | files | {one.session_id for one in (*survey.saved, *survey.branches)}


def _record(row: HeldSomewhereRow) -> recovering.Record:
    return recovering.Record(
        session_id=row.session_id,
        state=row.state,
        attempt=row.attempt,
        spoke_id=row.spoke_id,
        worktree=row.worktree,
        live=row.live,
        accepted=row.accepted,
        away=row.away,
    )


OPERATION = Operation(RECOVER, recover)
