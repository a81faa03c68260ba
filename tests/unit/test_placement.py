"""Who goes where: lists in, lists out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from hub.core.placement import Place, Room, Waiting, agents_said, at_once, decide
from hub.outlook import Outlook


def _room(id: str, slots: int = 4, live: int = 0, **labels: str) -> Room:
    return Room(id, f"name-{id}", labels, slots, live)


def _waiting(id: str, wanted: str | None = None, **requires: str) -> Waiting:
    return Waiting(id, wanted, requires)


def test_the_least_loaded_spoke_is_taken() -> None:
    rooms = [_room("a", live=2), _room("b", live=1)]
    assert decide([_waiting("s")], rooms) == [Place("s", "b")]


def test_load_is_a_share_of_the_slots() -> None:
    rooms = [_room("a", slots=2, live=1), _room("b", slots=100, live=10)]
    assert decide([_waiting("s")], rooms) == [Place("s", "b")]


def test_many_are_spread() -> None:
    places = decide([_waiting(f"s{n}") for n in range(4)], [_room("a"), _room("b")])
    assert [place.spoke_id for place in places] == ["a", "b", "a", "b"]


def test_a_wanted_spoke_is_named_or_identified() -> None:
    rooms = [_room("a"), _room("b")]
    assert decide([_waiting("s", "b"), _waiting("t", "name-b")], rooms) == [
        Place("s", "b"),
        Place("t", "b"),
    ]


def test_labels_must_be_carried() -> None:
    rooms = [_room("a"), _room("b", gpu="h100")]
    assert decide([_waiting("s", gpu="h100")], rooms) == [Place("s", "b")]
    assert decide([_waiting("s", gpu="a100")], rooms) == []


def test_who_fits_nowhere_holds_nobody_up() -> None:
    waiting = [_waiting("s", "elsewhere"), _waiting("t")]
    assert decide(waiting, [_room("a")]) == [Place("t", "a")]


def test_a_full_spoke_takes_nobody() -> None:
    assert decide([_waiting("s")], [_room("a", slots=1, live=1)]) == []
    assert decide([_waiting("s")], [_room("a", slots=0)]) == []


def _able(id: str, *agents: str, live: int = 0) -> Room:
    return replace(_room(id, live=live), agents=frozenset(agents))


def _for(agent: str) -> Waiting:
    return replace(_waiting("s"), agent=agent)


def test_an_agent_goes_where_it_is_installed() -> None:
    rooms = [_able("a", "command"), _able("b", "claude", "command", live=3)]
    assert decide([_for("claude")], rooms) == [Place("s", "b")]


def test_it_waits_for_one_that_has_it_and_is_full() -> None:
    rooms = [_able("a", "command"), _able("b", "claude", live=4)]
    assert decide([_for("claude")], rooms) == []


def test_where_nobody_has_it_it_goes_and_hears_why_not() -> None:
    assert decide([_for("claude")], [_able("a", "command")]) == [Place("s", "a")]


def test_a_spoke_that_does_not_say_may_have_it() -> None:
    assert decide([_for("claude")], [_able("a", "command"), _room("b")]) == [Place("s", "b")]


@pytest.mark.parametrize(
    ("said", "agents"),
    [(["claude", 1, None], {"claude"}), ([], set()), (None, None), ({"claude": 1}, None)],
)
def test_what_a_spoke_says_of_its_agents_is_not_believed_blindly(
    said: JsonValue, agents: set[str] | None
) -> None:
    assert agents_said(said) == agents


@given(st.lists(st.integers(0, 4), max_size=6), st.integers(0, 30))
def test_no_spoke_is_ever_overfilled(live: list[int], many: int) -> None:
    rooms = [_room(f"r{n}", slots=4, live=taken) for n, taken in enumerate(live)]
    places = decide([_waiting(f"s{n}") for n in range(many)], rooms)
    assert len(places) == min(many, sum(4 - taken for taken in live))
    for room in rooms:
        assert room.live + sum(p.spoke_id == room.spoke_id for p in places) <= room.slots


def test_at_once_goes_who_has_a_place_by_what_was_seen() -> None:
    rooms = [replace(_room("a", slots=1, live=1), epoch=3), replace(_room("b", live=2), epoch=4)]
    assert at_once(_waiting("s"), rooms) == rooms[1]
    assert at_once(_waiting("s", "a"), rooms) is None
    assert at_once(_waiting("s", gpu="h100"), rooms) is None
    assert at_once(_waiting("s"), []) is None


def test_at_once_nobody_goes_where_its_agent_is_not() -> None:
    """Perhaps somebody has it by now: who knows of nobody looks again."""
    lacks, silent = replace(_room("a"), agents=["codex"]), _room("b")
    claude = replace(_waiting("s"), agent="claude")
    assert decide([claude], [lacks]) == [Place("s", "a")]
    assert at_once(claude, [lacks]) is None
    assert at_once(claude, [lacks, silent]) == silent


def test_who_was_placed_at_once_takes_up_room() -> None:
    outlook = Outlook([_room("a", slots=2), _room("b", slots=1)])
    taken: list[str] = []
    while (room := outlook.room_for(_waiting("s"))) is not None:
        taken.append(room.spoke_id)
        outlook.fill(room.spoke_id)
    assert taken == ["a", "b", "a"]
