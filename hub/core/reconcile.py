"""A spoke is back: what it holds against what the database believes that it holds.

Set difference, both ways. What the spoke has and the database does not know is never killed: the
database may be the one that was restored from a backup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from protocol.handshake import Verdict
from protocol.ops.wire import InventoryItem
from protocol.session import State


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt as the database knows it."""

    session_id: str
    attempt: int
    current_attempt: int
    state: State
    aborting: bool
    stored: int
    live: bool  #: not released
    accepted: bool  #: its start order was on the spoke's disk
    given_up: bool = False  #: released, and not by its own last record


@dataclass(frozen=True, slots=True)
class Known:
    """A session of the inventory, whether or not it was ever on this spoke."""

    session_id: str
    current_attempt: int


@dataclass(frozen=True, slots=True)
class Found:
    """The agent runs: an unknown session is running again."""

    session_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Gone:
    """Believed to be there, and it is not: given up at once, with the reason."""

    session_id: str
    attempt: int
    why: str
    seen_dead: bool  #: its machine was rebooted since: no process of it can be left


Decision = Found | Gone


def decide(
    inventory: Sequence[InventoryItem],
    held: Sequence[Held],
    known: Sequence[Known],
    *,
    rebooted: bool,
) -> tuple[list[Verdict], list[Decision]]:
    """A verdict for each attempt of the inventory, and what the database learns from it."""
    by_attempt = {(one.session_id, one.attempt): one for one in held}
    current = {one.session_id: one.current_attempt for one in known}
    verdicts = [_verdict(item, by_attempt, current) for item in inventory]
    there = {(item.session_id, item.attempt) for item in inventory}
    decisions: list[Decision] = [
        Found(item.session_id, item.attempt)
        for item in inventory
        if item.state == "running" and _is_unknown(by_attempt.get(_key(item)))
    ]
    why = "its machine was rebooted" if rebooted else "its spoke no longer has it"
    decisions += [
        Gone(one.session_id, one.attempt, why, rebooted)
        for one in held
        # An order that never reached the spoke's disk is still in the outbox and comes again.
        if one.live and one.accepted and (one.session_id, one.attempt) not in there
    ]
    return verdicts, decisions


def _verdict(
    item: InventoryItem, by_attempt: dict[tuple[str, int], Held], current: dict[str, int]
) -> Verdict:
    known = current.get(item.session_id)
    one = by_attempt.get(_key(item))
    if known is None or item.attempt > known or (one is None and item.attempt == known):
        return Verdict(
            session_id=item.session_id, attempt=item.attempt, verdict="quarantine", stored=0
        )
    if one is None or item.attempt < known:
        return Verdict(
            session_id=item.session_id, attempt=item.attempt, verdict="superseded", stored=0
        )
    return Verdict(
        session_id=item.session_id,
        attempt=item.attempt,
        verdict=_of_current(item, one),
        stored=one.stored,
    )


def _of_current(
    item: InventoryItem, one: Held
) -> Literal["continue", "stop", "superseded", "finalize"]:
    if one.live:
        return "stop" if one.aborting else "continue"
    if one.state is State.LOST and item.state == "exited":
        return "continue"  # given up too early: late truth beats a guess
    if one.given_up:
        # Given up for good, about to start elsewhere, or aborted though nobody saw it dead: nothing
        # runs under a session that has ended. Its work is saved first.
        return "superseded"
    return "finalize"


def _key(item: InventoryItem) -> tuple[str, int]:
    return item.session_id, item.attempt


def _is_unknown(one: Held | None) -> bool:
    return one is not None and one.live and one.state is State.UNKNOWN
