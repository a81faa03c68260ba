"""Marking a tree to be aborted, and the receipt of what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from hub.desk import Desk
from hub.ops import views
from hub.store.rows.exchange import PlacedRow
from hub.store.rows.sessions import MarkedRow, StopRow, ViewRow
from protocol import ids
from protocol.ops.sessions import AbortedCall, Ended, Receipt
from protocol.session import State

VIEWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Aborted:
    """An abort under way. ``hit``: the sessions that it marked; ``live``: those that had begun, or
    were about to, and have not ended."""

    abort_id: str
    asked_at: datetime
    hit: set[str]
    live: set[str]
    calls: list[AbortedCall]


@dataclass(frozen=True, slots=True)
class Known:
    """A receipt as things are now. ``saving``: a spoke still writes work of it to a ref."""

    said: Receipt
    saving: bool


async def abort_one(
    desk: Desk,
    session_id: str,
    asked_by: str,
    reason: str,
    *,
    grace_ms: int | None = None,
    now: bool = False,
    only_in: State | None = None,
) -> Aborted:
    """Mark a session and all below it, tell the spokes, and abort the calls that they made.

    Raises FailedPrecondition (MOVED_ON) when it is not ``only_in`` that state.
    """
    body: dict[str, JsonValue] = {"reason": reason, "graceMs": grace_ms, "now": now}
    marked = await desk.store.sessions.abort(
        session_id, ids.new_abort(), asked_by, body, upgrade=now or grace_ms is not None,
        only_in=only_in,
    )  # fmt: skip
    hit = {row.session_id for row in marked if not row.spared}
    calls = desk.links.abort_calls(hit, reason or "the session is being aborted")
    desk.spokes.deliver(orders_of(marked), {})
    desk.bells.ring(*hit)
    live = {row.session_id for row in marked if not row.spared and _is_live(row)}
    return Aborted(marked[0].abort_id, marked[0].asked_at, hit, live, calls)


def _is_live(row: MarkedRow) -> bool:
    """Who waited in the queue is aborted by the mark itself."""
    return row.before not in (None, State.QUEUED) and not row.before.ended


def orders_of(marked: Sequence[MarkedRow]) -> list[PlacedRow]:
    """The orders to stop that an abort has put into outboxes, by number."""
    orders = [
        PlacedRow(
            row.seq, row.session_id, row.attempt, "stop", row.body, task="", repo="", base=None,
            branch="", agent="", spec={}, sandbox="", parent_id=None, spoke_id=row.spoke_id,
            alone=True,
        )
        for row in marked
        if row.seq is not None and row.attempt is not None and row.spoke_id is not None
    ]  # fmt: skip
    return sorted(orders, key=lambda row: row.seq)


async def receipt(desk: Desk, root: str, under: Aborted) -> Known:
    """The receipt as things are now."""
    tree = await desk.store.sessions.tree(root)
    hit = [row.session_id for row in tree if not row.spared]
    rows: list[ViewRow] = []
    for start in range(0, len(hit), VIEWS_AT_ONCE):
        rows += await desk.store.sessions.views(hit[start : start + VIEWS_AT_ONCE])
    order = {id: n for n, id in enumerate(hit)}
    rows.sort(key=lambda row: order[row.session_id])
    live = [row.session_id for row in rows if not row.state.ended]
    stops = await desk.store.sessions.stops(live) if live else {}
    ended_ones = [ended(row, stops.get(row.session_id)) for row in rows]
    said = Receipt(
        abort_id=under.abort_id,
        session_id=root,
        accepted_at=under.asked_at,
        complete=all(one.confirmed for one in ended_ones),
        sessions=ended_ones,
        calls=under.calls,
        spared=[row.session_id for row in tree if row.spared],
    )
    return Known(said, any(map(_is_saving, rows)))


def ended(row: ViewRow, stop: StopRow | None) -> Ended:
    result = views.object_of(row.result)
    survivors = _int(result.get("survivors"))
    over = row.state.ended
    by = result.get("endedBy")
    return Ended(
        session_id=row.session_id,
        task=row.task,
        spoke=row.spoke,
        before=row.abort_before or row.state,
        after=row.state,
        confirmed=over
        and row.state is not State.LOST
        and row.abort_confirmed is not False
        and survivors == 0,
        ended_by=by if isinstance(by, str) else None,
        ended_at=_ended_at(row, result.get("endedAt")),
        processes=_int(result.get("ended")),
        survivors=survivors,
        exit_code=row.exit_code,
        saved_ref=views.saved_ref(row),
        pending=_unseen(row, survivors) if over else _pending(row, stop),
    )


def _is_saving(row: ViewRow) -> bool:
    """It is over, and its spoke writes its work to a ref."""
    is_told = views.object_of(row.saved).get("final") is True
    return views.object_of(row.result).get("saving") is True and not is_told


def _ended_at(row: ViewRow, at: JsonValue) -> datetime | None:
    """``at`` is what a spoke said; where that is no time, what we saw."""
    if isinstance(at, int | float):
        with suppress(ValueError, OverflowError, OSError):
            return datetime.fromtimestamp(at / 1_000, row.created_at.tzinfo)
    return row.finished_at


def _unseen(row: ViewRow, survivors: int) -> str | None:
    """Why the end of a session is not confirmed; None: it is."""
    if survivors:
        return f"{survivors} processes would not die; look at {row.spoke}"
    if row.state is State.LOST or row.abort_confirmed is False:
        return f"given up, and nobody saw it dead: {row.reason or 'its spoke is gone'}"
    return None


def _pending(row: ViewRow, stop: StopRow | None) -> str:
    if row.spoke is None:
        return "not on a spoke"
    if not row.spoke_online:
        seen = _at(" since", row.spoke_seen_at)
        return f"its spoke {row.spoke} is out of reach{seen}; it is told first when it is back"
    silent = "" if stop is None else _at("; not heard since", stop.silent_since)
    if stop is not None and stop.waits:
        return f"the order waits for {row.spoke} to take it{silent}"
    return f"{row.spoke} is ending its processes{silent}"


def _at(word: str, at: datetime | None) -> str:
    return "" if at is None else f"{word} {at:%H:%M:%S} UTC"


def _int(value: JsonValue) -> int:
    return value if isinstance(value, int) else 0
