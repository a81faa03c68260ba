"""The kill ladder: what was seen and ordered -> phases, lists compared."""

from __future__ import annotations

from signal import SIGINT, SIGKILL, SIGTERM

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoke.supervisor.ladder import (
    ENDS,
    MOVES,
    RUNGS,
    Cause,
    Ladder,
    Phase,
    Times,
    ordered,
    seen,
    sweep_at,
)

TIMES = Times(8_000, 16_000, 25_000)


def climb(ladder: Ladder, looks: list[tuple[int, bool, bool]]) -> list[tuple[int, Phase]]:
    """Phases entered, with their times, from looks of (now, leader alive, anything left)."""
    entered: list[tuple[int, Phase]] = []
    for now, leader, left in looks:
        after = seen(ladder, TIMES, now, leader=leader, left=left)
        if after.phase is not ladder.phase:
            entered.append((after.since, after.phase))
        ladder = after
    return entered


def stubborn(until: int) -> list[tuple[int, bool, bool]]:
    return [(now, True, True) for now in range(0, until + 1, 500)]


def test_one_who_ignores_everything_meets_each_rung_at_its_time() -> None:
    ladder = ordered(Ladder(), Cause.STOP, 0)
    assert ladder == Ladder(Phase.INTERRUPTING, 0)
    assert climb(ladder, stubborn(30_000)) == [
        (8_000, Phase.TERMINATING),
        (16_000, Phase.KILLING),
        (25_000, Phase.GIVEN_UP),
    ]


def test_the_rungs_are_int_term_kill_and_only_kill_takes_the_newborn() -> None:
    assert [(rung.signal, rung.newborn) for rung in RUNGS.values()] == [
        (SIGINT, False),
        (SIGTERM, False),
        (SIGTERM, False),
        (SIGTERM, False),
        (SIGKILL, True),
    ]


def test_one_who_obeys_is_done_without_another_rung() -> None:
    ladder = ordered(Ladder(), Cause.STOP, 100)
    looks = [(100, True, True), (103, False, False)]
    assert climb(ladder, looks) == [(103, Phase.EMPTY)]


def test_leftovers_of_a_stop_get_term_at_once_and_kill_half_a_second_later() -> None:
    ladder = ordered(Ladder(), Cause.STOP, 0)
    looks = [(3, False, True), (502, False, True), (503, False, True), (505, False, False)]
    assert climb(ladder, looks) == [
        (3, Phase.CLEARING),
        (503, Phase.KILLING),
        (505, Phase.EMPTY),
    ]


def test_a_leader_that_dies_of_term_hastens_the_kill() -> None:
    ladder = ordered(Ladder(), Cause.STOP, 0)
    looks = [*stubborn(8_000), (8_001, False, True), (8_501, False, True)]
    assert climb(ladder, looks) == [
        (8_000, Phase.TERMINATING),
        (8_001, Phase.CLEARING),
        (8_501, Phase.KILLING),
    ]


def test_leftovers_of_a_natural_end_have_two_seconds() -> None:
    looks = [(50, False, True), (2_049, False, True), (2_050, False, True), (2_060, False, False)]
    assert climb(Ladder(), looks) == [
        (50, Phase.TIDYING),
        (2_050, Phase.KILLING),
        (2_060, Phase.EMPTY),
    ]


def test_a_natural_end_with_nothing_left_is_over_at_once() -> None:
    assert climb(Ladder(), [(5, True, True), (9, False, False)]) == [(9, Phase.EMPTY)]


@pytest.mark.parametrize(
    "phase",
    [Phase.WATCHING, Phase.INTERRUPTING, Phase.TERMINATING, Phase.TIDYING, Phase.CLEARING],
)
def test_now_kills_from_every_phase(phase: Phase) -> None:
    assert ordered(Ladder(phase, 10), Cause.STOP_NOW, 70) == Ladder(Phase.KILLING, 70)


@pytest.mark.parametrize("phase", [Phase.INTERRUPTING, Phase.TERMINATING, Phase.CLEARING])
def test_asking_again_changes_nothing(phase: Phase) -> None:
    assert ordered(Ladder(phase, 10), Cause.STOP, 70) == Ladder(phase, 10)


def test_a_kill_is_neither_restarted_nor_undone() -> None:
    killing = Ladder(Phase.KILLING, 10)
    assert ordered(killing, Cause.STOP_NOW, 70) == killing
    assert ordered(killing, Cause.STOP, 70) == killing


def test_a_kill_by_order_gives_up_after_as_long_as_one_by_the_ladder() -> None:
    ladder = ordered(Ladder(), Cause.STOP_NOW, 1_000)
    assert climb(ladder, [(9_999, True, True), (10_000, True, True)]) == [(10_000, Phase.GIVEN_UP)]


def test_nobody_looks_while_nothing_was_asked_or_all_is_over() -> None:
    quiet = [phase for phase in Phase if sweep_at(Ladder(phase), TIMES, 0) is None]
    assert quiet == [Phase.WATCHING, Phase.EMPTY, Phase.GIVEN_UP]


def test_looks_are_frequent_at_first_then_seldom_and_never_past_the_due_time() -> None:
    ladder = Ladder(Phase.INTERRUPTING, 0)
    nows = [0, 20, 4_000, 7_950]
    assert [sweep_at(ladder, TIMES, now) for now in nows] == [1, 25, 4_100, 8_000]


def test_a_kill_looks_every_ten_milliseconds() -> None:
    assert sweep_at(Ladder(Phase.KILLING, 0), TIMES, 5_000) == 5_010


def test_a_long_look_at_the_tree_is_not_begun_again_at_once() -> None:
    assert sweep_at(Ladder(Phase.INTERRUPTING, 0), TIMES, 30, took=20) == 110
    assert sweep_at(Ladder(Phase.INTERRUPTING, 0), TIMES, 7_990, took=20) == 8_000
    assert sweep_at(Ladder(Phase.KILLING, 0), TIMES, 30, took=20) == 37


def test_every_phase_but_the_ends_has_a_way_to_empty() -> None:
    assert {phase for phase, cause in MOVES if cause is Cause.NOTHING_LEFT} == set(Phase) - ENDS
    assert not [phase for phase, _ in MOVES if phase in ENDS]


@given(
    st.lists(
        st.tuples(st.integers(0, 9_000), st.booleans(), st.sampled_from([None, *Cause])),
        max_size=30,
    )
)
def test_whatever_happens_the_tree_is_killed_or_gone_in_the_end(
    steps: list[tuple[int, bool, Cause | None]],
) -> None:
    ladder, now, leader = ordered(Ladder(), Cause.STOP, 0), 0, True
    for pause, dies, cause in steps:
        now += pause
        leader = leader and not dies
        if cause in {Cause.STOP, Cause.STOP_NOW}:
            ladder = ordered(ladder, cause, now)
        ladder = seen(ladder, TIMES, now, leader=leader, left=True)
    for _ in range(4):
        now += 25_000
        ladder = seen(ladder, TIMES, now, leader=leader, left=True)
    assert ladder.phase is Phase.GIVEN_UP
