"""The session table is whole: no dead ends, no islands, no way back from the grave but one."""

from __future__ import annotations

import pytest

from protocol.errors import IllegalTransition
from protocol.session import ENDED, ON_A_SPOKE, TRANSITIONS, Fact, State, advance, diagram

S, F = State, Fact
Move = tuple[State, Fact, State]

#: The table of the design, row by row.
ROWS: dict[int, set[Move]] = {
    2: {(S.QUEUED, F.PLACED, S.ASSIGNED)},
    3: {
        (S.ASSIGNED, F.ACCEPTED, S.STARTING),
        (S.STARTING, F.STARTED, S.RUNNING),
        (S.ASSIGNED, F.STARTED, S.RUNNING),
    },
    4: {(S.ASSIGNED, F.REFUSED, S.QUEUED)},
    5: {(s, F.CONTACT_LOST, S.UNKNOWN) for s in (S.ASSIGNED, S.STARTING, S.RUNNING)},
    6: {
        (S.UNKNOWN, F.ACCEPTED, S.STARTING),
        (S.UNKNOWN, F.STARTED, S.RUNNING),
        (S.UNKNOWN, F.FOUND, S.RUNNING),
    },
    7: {(S.UNKNOWN, F.REPLACED, S.QUEUED)},
    8: {(S.UNKNOWN, F.GIVEN_UP, S.LOST)},
    9: {
        (state, fact, end)
        for state in (S.ASSIGNED, S.STARTING, S.RUNNING, S.UNKNOWN)
        for fact, end in (
            (F.COMPLETED, S.COMPLETED),
            (F.BLOCKED, S.BLOCKED),
            (F.FAILED, S.FAILED),
        )
    },
    10: {(S.QUEUED, F.ABORT_ASKED, S.ABORTED)},
    11: {
        (state, F.ABORT_ASKED, S.ABORTING)
        for state in (S.ASSIGNED, S.STARTING, S.RUNNING, S.UNKNOWN)
    },
    12: {(S.ABORTING, F.STOPPED, S.ABORTED)},  # 14 is the same move, unconfirmed
    13: {(S.ABORTING, F.COMPLETED, S.COMPLETED), (S.ABORTING, F.FAILED, S.FAILED)},
    15: {(state, F.REOPENED, S.QUEUED) for state in ENDED},
    16: {(state, F.RETRIED, S.QUEUED) for state in (S.ASSIGNED, S.STARTING, S.RUNNING, S.UNKNOWN)},
}

#: What the table does not spell out, and the sentence of the design that asks for it.
BESIDE_THE_ROWS: dict[str, set[Move]] = {
    "live in the database but absent from the inventory: lost at once": {
        (state, F.GIVEN_UP, S.LOST) for state in (S.ASSIGNED, S.STARTING, S.RUNNING)
    },
    "aborting, but it ended by itself first: a safe exit is a final report too": {
        (S.ABORTING, F.BLOCKED, S.BLOCKED),
    },
    "late truth beats a guess, and lost is a guess": {
        (S.LOST, F.COMPLETED, S.COMPLETED),
        (S.LOST, F.BLOCKED, S.BLOCKED),
        (S.LOST, F.FAILED, S.FAILED),
        (S.LOST, F.STOPPED, S.ABORTED),
    },
}


def moves() -> set[Move]:
    return {(state, fact, end) for state, row in TRANSITIONS.items() for fact, end in row.items()}


def test_the_table_is_that_of_the_design_and_nothing_else() -> None:
    expected = set[Move]().union(*ROWS.values(), *BESIDE_THE_ROWS.values())
    assert moves() - expected == set(), "in the table, but not in the design"
    assert expected - moves() == set(), "in the design, but not in the table"


def test_every_state_and_every_fact_is_in_it() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {fact for _, fact, _ in moves()} == set(Fact)


@pytest.mark.parametrize("state", State)
def test_every_open_state_can_be_aborted_or_is_aborting(state: State) -> None:
    if state in ENDED:
        assert F.ABORT_ASKED not in TRANSITIONS[state]
    elif state is not S.ABORTING:
        assert advance(state, F.ABORT_ASKED) in {S.ABORTING, S.ABORTED}
    else:
        assert advance(state, F.STOPPED) is S.ABORTED


def reachable(start: State) -> set[State]:
    seen, frontier = {start}, [start]
    while frontier:
        new = set(TRANSITIONS[frontier.pop()].values()) - seen
        seen |= new
        frontier += new
    return seen


@pytest.mark.parametrize("state", State)
def test_every_state_can_end(state: State) -> None:
    assert reachable(state) & ENDED


def test_every_state_is_reached_from_queued() -> None:
    assert reachable(S.QUEUED) == set(State)


@pytest.mark.parametrize("state", sorted(ENDED - {S.LOST}))
def test_an_end_can_only_be_reopened(state: State) -> None:
    assert TRANSITIONS[state] == {F.REOPENED: S.QUEUED}


def test_lost_can_be_reopened_or_take_late_truth() -> None:
    for fact, after in TRANSITIONS[S.LOST].items():
        assert after in ENDED or fact is F.REOPENED


@pytest.mark.parametrize("state", sorted(ON_A_SPOKE - {S.ABORTING, S.UNKNOWN}))
def test_wherever_a_spoke_holds_it_contact_can_be_lost(state: State) -> None:
    assert advance(state, F.CONTACT_LOST) is S.UNKNOWN


def test_the_states_fall_into_three_kinds() -> None:
    assert ON_A_SPOKE | ENDED | {S.QUEUED} == set(State)
    assert not ON_A_SPOKE & ENDED


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("fact", Fact)
def test_what_is_not_in_the_table_is_refused(state: State, fact: Fact) -> None:
    if fact in TRANSITIONS[state]:
        assert advance(state, fact) is TRANSITIONS[state][fact]
        return
    with pytest.raises(IllegalTransition, match=f"a {state} session cannot be told") as error:
        advance(state, fact)
    assert (error.value.state, error.value.fact) == (state, fact)


def test_the_diagram_draws_every_move_once() -> None:
    head, start, *drawn = diagram().splitlines()
    assert (head, start) == ("stateDiagram-v2", "    [*] --> queued")
    assert sorted(drawn) == sorted(f"    {a} --> {b}: {fact}" for a, fact, b in moves())
