"""coord.explain: why a session is where it is, what happens next, what you can do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hub.core import explaining, situation
from hub.core.failing import jitter
from hub.core.placement import Room, Waiting, agents_said, places_for
from hub.desk import Asked, Desk, check_reach
from hub.ops import answer, views
from hub.ops.registry import Operation
from hub.store.rows.fleet import ReachRow
from hub.store.rows.sessions import ViewRow
from hub.store.rows.spokes import SpokeRow
from hub.store.sessions import no_session
from protocol.ops.catalogue import EXPLAIN
from protocol.ops.sessions import ExplainParams, Explanation, PastFailure
from protocol.session import Activity, State


async def explain(desk: Desk, asked: Asked[ExplainParams]) -> Explanation:
    await check_reach(desk, asked.principal, asked.params.session_id, own=True)
    row = await desk.store.sessions.view(asked.params.session_id)
    spokes = await desk.store.exchange.spokes()
    reach = await desk.store.fleet.reach(row.session_id)
    if reach is None:
        raise no_session(row.session_id)
    doubt = await desk.store.fleet.doubt()
    asks = await _asks(desk, row)
    story = explaining.explain(_situation(desk, row, spokes, reach, doubt, asks))
    return Explanation(
        session=views.session(row),
        fact=story.fact,
        since=story.since or row.state_since,
        next=story.next,
        next_at=story.next_at,
        you_can=story.you_can,
    )


def _situation(
    desk: Desk, row: ViewRow, spokes: list[SpokeRow], reach: ReachRow, doubt: str | None,
    asks: situation.Asks | None,
) -> situation.Situation:  # fmt: skip
    settings = desk.settings
    lost_after = settings.laptop_lost_after_seconds if reach.laptop else settings.lost_after_seconds
    replaced_at = None
    if reach.fence_ms is not None and row.spoke_seen_at is not None:
        longest = reach.fence_ms / 1_000 + settings.fence_margin_seconds
        replaced_at = row.spoke_seen_at + timedelta(seconds=longest)
    requires = views.labels(row.requires)
    waiting = Waiting(row.session_id, row.wanted_spoke, requires, row.sandbox, row.agent)
    online = [spoke for spoke in spokes if spoke.online]
    open_ones = [spoke for spoke in online if not (spoke.cordoned or spoke.draining)]
    rooms = [
        Room(
            spoke.spoke_id,
            spoke.name,
            views.labels(spoke.labels),
            1,
            0,
            spoke.sandboxes,
            agents_said(views.object_of(spoke.detail).get("agents")),
        )
        for spoke in open_ones
    ]
    return situation.Situation(
        session_id=row.session_id,
        state=row.state,
        since=row.state_since,
        reason=row.reason,
        aborting=row.desired == "abort",
        spoke=row.spoke,
        spoke_online=row.spoke_online,
        spoke_seen_at=row.spoke_seen_at,
        wanted_spoke=row.wanted_spoke,
        closed=_closed(row.wanted_spoke, spokes),
        requires=requires,
        sandbox=row.sandbox,
        queue_deadline=row.queue_deadline,
        run_deadline=row.run_deadline,
        exit_code=row.exit_code,
        lost_after=timedelta(seconds=lost_after),
        spokes_online=len(online),
        spokes_fitting=len(places_for(waiting, rooms)),
        worktree=row.worktree,
        said=_sentence(row),
        now=reach.now,
        not_before=reach.not_before,
        placed_at=reach.placed_at,
        taken=reach.taken,
        take_within=timedelta(seconds=settings.start_ack_seconds),
        lease_ends=reach.lease_ends,
        replaced_at=replaced_at,
        stop_waits_since=reach.stop_waits,
        asks=asks,
        silent=_silence(row),
        doubt=doubt,
        parked=_parked(row),
        tried=[_tried(one) for one in views.failures(row.failures) if one.action != "stop"],
        advice=_advice(row),
    )


def _closed(wanted: str | None, spokes: list[SpokeRow]) -> situation.Closed | None:
    """Where the spoke that it wants takes nothing; a revoked one never will."""
    for one in spokes:
        if one.revoked_at is None and wanted in (one.spoke_id, one.name):
            shut = "draining" if one.draining else "cordoned" if one.cordoned else None
            is_open = one.online and shut is None
            return None if is_open else situation.Closed(one.name, one.online, shut)
    return None


def _parked(row: ViewRow) -> situation.Parked | None:
    if row.limited_until is None or row.limited_at is None or row.state is not State.QUEUED:
        return None
    within = jitter(row.limited_at, row.limited_until)
    return situation.Parked(
        row.account, row.limited_at, row.limited_until, row.limit_said or "", within
    )


def _tried(one: PastFailure) -> str:
    done = {
        "fresh": "tried again in a new conversation",
        "fallback": "went on with another agent",
        "wait": "waited for its account",
        "stop": "stopped",
    }
    return f"attempt {one.attempt} with {one.agent}: {one.kind} ({one.message}), {done[one.action]}"


def _advice(row: ViewRow) -> str | None:
    said = views.object_of(views.object_of(row.result).get("failure")).get("advice")
    return said if isinstance(said, str) else None


def _silence(row: ViewRow) -> situation.Silent | None:
    said = views.session(row).agent_state
    if said is None or said.silent is None:
        return None
    one = said.silent
    return situation.Silent(
        since=datetime.fromtimestamp(one.since / 1_000, UTC),
        doing=one.doing,
        tool=one.what,
        tool_since=_time(one.tool_since),
        ends_at=_time(one.ends_at),
    )


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1_000, UTC)


async def _asks(desk: Desk, row: ViewRow) -> situation.Asks | None:
    """The question that it waits for, of those that nobody has answered."""
    if row.activity != Activity.WAITING:
        return None
    rows = await desk.store.questions.asked(
        session_id=row.session_id, below=None, only_open=True, limit=10
    )
    for one in map(answer.question, rows):
        if one.state == "open":
            until = None if one.until is None else datetime.fromtimestamp(one.until / 1_000, UTC)
            what = f"{one.tool}: {one.what}"
            return situation.Asks(one.question, what, until, one.unanswered)
    return None


def _sentence(row: ViewRow) -> str | None:
    said = views.object_of(row.result).get("message")
    return said if isinstance(said, str) and said != row.reason else None


OPERATION = Operation(EXPLAIN, explain)
