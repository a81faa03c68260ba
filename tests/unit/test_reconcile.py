"""What a returning spoke holds against what the database believes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hub.core.reconcile import Found, Gone, Held, Known, decide
from protocol.ops.wire import InventoryItem
from protocol.session import State

HELD = Held(
    session_id="s", attempt=2, current_attempt=2, state=State.RUNNING, aborting=False, stored=7,
    live=True, accepted=True,
)  # fmt: skip
KNOWN = [Known("s", 2)]


def _item(attempt: int = 2, state: str = "running") -> InventoryItem:
    return InventoryItem.model_validate(
        {"session_id": "s", "attempt": attempt, "state": state, "last_record": 9}
    )


def _verdict(item: InventoryItem, held: list[Held], known: list[Known]) -> tuple[str, int]:
    [verdict], _ = decide([item], held, known, rebooted=False)
    return verdict.verdict, verdict.stored


def test_the_current_attempt_continues_after_what_is_stored() -> None:
    assert _verdict(_item(), [HELD], KNOWN) == ("continue", 7)


def test_an_abort_that_waits_stops_it() -> None:
    assert _verdict(_item(), [replace(HELD, aborting=True)], KNOWN) == ("stop", 7)


def test_an_older_attempt_is_superseded() -> None:
    old = replace(HELD, attempt=1, live=False)
    assert _verdict(_item(1), [old, HELD], KNOWN)[0] == "superseded"


def test_what_has_ended_is_finalized() -> None:
    over = replace(HELD, live=False, state=State.COMPLETED)
    assert _verdict(_item(), [over], KNOWN) == ("finalize", 7)


def test_what_was_given_up_too_early_and_has_ended_is_believed() -> None:
    lost = replace(HELD, live=False, state=State.LOST, given_up=True)
    ended = _item().model_copy(update={"state": "exited"})
    assert _verdict(ended, [lost], KNOWN) == ("continue", 7)


@pytest.mark.parametrize("state", [State.LOST, State.QUEUED, State.ABORTED])
def test_nothing_goes_on_under_a_session_that_was_given_up(state: State) -> None:
    given_up = replace(HELD, live=False, state=state, given_up=True)
    assert _verdict(_item(), [given_up], KNOWN)[0] == "superseded"


@pytest.mark.parametrize(
    ("item", "held", "known"),
    [(_item(), [], []), (_item(3), [HELD], KNOWN), (_item(), [], KNOWN)],
    ids=["an unknown session", "a newer attempt", "an attempt of another spoke"],
)
def test_what_the_database_does_not_know_is_left_alone(
    item: InventoryItem, held: list[Held], known: list[Known]
) -> None:
    assert _verdict(item, held, known)[0] == "quarantine"


def test_what_is_not_there_any_more_is_given_up_at_once() -> None:
    _, decisions = decide([], [HELD], [], rebooted=False)
    assert decisions == [Gone("s", 2, "its spoke no longer has it", seen_dead=False)]


def test_a_reboot_is_named() -> None:
    _, decisions = decide([], [HELD], [], rebooted=True)
    assert decisions == [Gone("s", 2, "its machine was rebooted", seen_dead=True)]


def test_an_order_that_never_arrived_is_not_given_up() -> None:
    assert decide([], [replace(HELD, accepted=False)], [], rebooted=False) == ([], [])


def test_what_was_out_of_reach_and_runs_is_found() -> None:
    _, decisions = decide([_item()], [replace(HELD, state=State.UNKNOWN)], KNOWN, rebooted=False)
    assert decisions == [Found("s", 2)]


def test_what_has_exited_is_not_called_running() -> None:
    unknown = replace(HELD, state=State.UNKNOWN)
    _, decisions = decide([_item(state="exited")], [unknown], KNOWN, rebooted=False)
    assert decisions == []
