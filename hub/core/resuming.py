"""Whether an ended session may start again, and where: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hub.core.placement import Room
from protocol.errors import FailedPrecondition
from protocol.session import State


@dataclass(frozen=True, slots=True)
class Past:
    """A session as its last attempt left it. `saved`: the newest commit its work was saved as;
    `pushed`: the newest such that its repository has; `saved_on`: the spoke that wrote them."""

    session_id: str
    state: State
    parent_aborted: bool
    requires: Mapping[str, str]
    sandbox: str
    spoke_id: str | None
    spoke: str | None
    spoke_online: bool
    has_worktree: bool
    saved: str | None
    pushed: str | None
    saved_on: str | None
    not_pushed: str  #: why


@dataclass(frozen=True, slots=True)
class Wish:
    """`named`: the spoke that was asked for. `accept_loss`: go on from what can be reached."""

    named: str | None
    elsewhere: bool
    accept_loss: bool


@dataclass(frozen=True, slots=True)
class Start:
    """`on`: nowhere else. `give_up`: its last attempt is called lost first."""

    on: str | None
    give_up: bool
    lost: str = ""  #: what is left behind, where that was accepted


def decide(past: Past, wish: Wish, rooms: Sequence[Room]) -> Start | FailedPrecondition:
    """An error is returned, not raised. `rooms`: the spokes that are online and take work."""
    give_up = not past.state.ended
    moves = wish.elsewhere or wish.named not in (None, past.spoke_id, past.spoke)
    if past.parent_aborted:
        return FailedPrecondition(
            "PARENT_ABORTED",
            "its parent was aborted, and nothing runs below that",
            advice=f"resume the parent first, or spawn anew from its branch: coordctl status "
            f"{past.session_id}",
        )
    if give_up and not (past.state is State.UNKNOWN and moves and not past.spoke_online):
        return _is_live(past)
    where = _where(past, wish, rooms)
    if isinstance(where, FailedPrecondition):
        return where
    behind = _left_behind(past, where)
    if behind and not wish.accept_loss:
        return FailedPrecondition(
            "SAVED_ELSEWHERE",
            behind,
            advice=f"bring {past.spoke or 'that spoke'} back, or go on from what can be reached: "
            f"coordctl resume --accept-loss {past.session_id}",
        )
    return Start(where, give_up, behind)


def _is_live(past: Past) -> FailedPrecondition:
    id = past.session_id
    match past.state:
        case State.UNKNOWN:
            advice = (
                f"give its host up and start it on another spoke: coordctl resume --elsewhere {id}"
            )
        case State.ABORTING:
            advice = f"wait for it, or give its host up: coordctl abort --force {id}"
        case State.QUEUED:
            advice = f"it starts by itself: coordctl explain {id}"
        case _:
            advice = f"end it first: coordctl abort {id}"
    return FailedPrecondition(
        "SESSION_LIVE", f"it has not ended: it is {past.state}", advice=advice
    )


def _where(past: Past, wish: Wish, rooms: Sequence[Room]) -> str | FailedPrecondition | None:
    """A spoke's id; None: any that has room."""
    fitting = [room for room in rooms if room.suits(past.requires, past.sandbox)]
    if wish.named is not None:
        found = next((r for r in fitting if wish.named in (r.spoke_id, r.name)), None)
        if found is None:
            return _no_spoke(
                f"{wish.named} is not online, takes no work, or lacks a label or the sandbox"
            )
        return found.spoke_id
    if wish.elsewhere:
        others = [room for room in fitting if room.spoke_id != past.spoke_id]
        if not others:
            return _no_spoke("there is no other spoke that is online, takes work and fits")
        return min(others, key=lambda room: (room.load, room.name)).spoke_id
    keeper = past.spoke_id if past.has_worktree else past.saved_on if _is_alone(past) else None
    if keeper is None or any(room.spoke_id == keeper for room in rooms):
        return keeper
    return FailedPrecondition(
        "SPOKE_OFFLINE",
        f"{past.spoke or keeper} has its worktree, and is not online or takes no work",
        advice=f"coordctl resume --elsewhere {past.session_id}",
    )


def _no_spoke(why: str) -> FailedPrecondition:
    return FailedPrecondition("NO_FITTING_SPOKE", why, advice="coordctl spoke list -o wide")


def _is_alone(past: Past) -> bool:
    """Its newest saved state is on the spoke that wrote it and nowhere else."""
    return past.saved is not None and past.saved != past.pushed


def _left_behind(past: Past, where: str | None) -> str:
    if not _is_alone(past) or where == past.saved_on:
        return ""
    why = f" ({past.not_pushed})" if past.not_pushed else ""
    there = past.spoke if past.saved_on == past.spoke_id else past.saved_on
    return f"its newest saved state, {str(past.saved)[:12]}, is on {there} alone{why}"
