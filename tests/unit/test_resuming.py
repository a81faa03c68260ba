"""Where an ended session starts again, and what is refused with which advice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hub.core.placement import Room
from hub.core.resuming import Past, Start, Wish, decide
from protocol.errors import FailedPrecondition
from protocol.session import ENDED, State

ANVIL, FORGE = (Room(f"sp_{name}", name, {}, 4, 0) for name in ("anvil", "forge"))
PAST = Past(
    session_id="ses_1", state=State.LOST, parent_aborted=False, requires={}, sandbox="off",
    spoke_id="sp_anvil",
    spoke="anvil", spoke_online=True, has_worktree=True, saved="c1", pushed="c1",
    saved_on="sp_anvil", not_pushed="",
)  # fmt: skip
AWAY = replace(PAST, spoke_online=False)
HERE = Wish(named=None, elsewhere=False, accept_loss=False)
ELSEWHERE = replace(HERE, elsewhere=True)
BOTH = [ANVIL, FORGE]


@pytest.mark.parametrize("state", sorted(ENDED))
def test_it_starts_where_its_worktree_is(state: State) -> None:
    assert decide(replace(PAST, state=state), HERE, BOTH) == Start("sp_anvil", give_up=False)


def test_without_a_worktree_anywhere_will_do_if_its_work_was_pushed() -> None:
    cleaned = replace(PAST, has_worktree=False)
    assert decide(cleaned, HERE, BOTH) == Start(None, give_up=False)
    assert decide(replace(cleaned, pushed=None), HERE, BOTH) == Start("sp_anvil", give_up=False)


def test_elsewhere_is_where_most_room_is_and_not_where_it_was() -> None:
    full = Room("sp_full", "full", {}, 4, 3)
    assert decide(AWAY, ELSEWHERE, [ANVIL, full, FORGE]) == Start("sp_forge", give_up=False)


@pytest.mark.parametrize("wish", [ELSEWHERE, replace(HERE, named="forge")])
def test_what_is_out_of_reach_is_given_up_only_by_moving_it(wish: Wish) -> None:
    away = replace(AWAY, state=State.UNKNOWN)
    assert decide(away, wish, [FORGE]) == Start("sp_forge", give_up=True)
    assert _refused(away, HERE, [FORGE]).reason == "SESSION_LIVE"
    assert "--elsewhere" in _refused(away, HERE, [FORGE]).advice


@pytest.mark.parametrize("state", sorted(set(State) - ENDED))
def test_what_lives_is_not_started_twice(state: State) -> None:
    assert _refused(replace(PAST, state=state), ELSEWHERE, BOTH).reason == "SESSION_LIVE"


def test_what_was_saved_on_a_lost_machine_alone_is_not_passed_over() -> None:
    alone = replace(AWAY, saved="c2", not_pushed="no route to host")
    said = _refused(alone, ELSEWHERE, [FORGE])
    assert said.reason == "SAVED_ELSEWHERE"
    assert "no route to host" in said.message
    start = decide(alone, replace(ELSEWHERE, accept_loss=True), [FORGE])
    assert isinstance(start, Start)
    assert start.lost
    back = decide(alone, replace(HERE, named="anvil"), BOTH)
    assert back == Start("sp_anvil", give_up=False)


@pytest.mark.parametrize(
    ("past", "wish", "rooms", "reason"),
    [
        (AWAY, HERE, [FORGE], "SPOKE_OFFLINE"),
        (PAST, ELSEWHERE, [ANVIL], "NO_FITTING_SPOKE"),
        (PAST, replace(HERE, named="gone"), BOTH, "NO_FITTING_SPOKE"),
        (replace(PAST, requires={"gpu": "a"}), ELSEWHERE, BOTH, "NO_FITTING_SPOKE"),
        (replace(PAST, sandbox="worktree"), ELSEWHERE, BOTH, "NO_FITTING_SPOKE"),
        (replace(PAST, parent_aborted=True), HERE, BOTH, "PARENT_ABORTED"),
    ],
)
def test_refusals_name_the_next_command(
    past: Past, wish: Wish, rooms: list[Room], reason: str
) -> None:
    said = _refused(past, wish, rooms)
    assert said.reason == reason
    assert "coordctl" in said.advice


def _refused(past: Past, wish: Wish, rooms: list[Room]) -> FailedPrecondition:
    said = decide(past, wish, rooms)
    assert isinstance(said, FailedPrecondition)
    return said
