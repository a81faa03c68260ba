"""What an agent used is added up, told for each turn, and warned of once as its context fills."""

from __future__ import annotations

from spoke.agents.meter import Meter
from spoke.agents.tongue import Usage


def test_tokens_add_up_and_of_the_rest_the_last_that_is_known_holds() -> None:
    meter = Meter()
    meter.add(Usage(10, 1, 0.5, 50, 200, "model"))
    [body] = meter.add(Usage(20, 2))
    assert body == {
        "event": "usage", "tokensIn": 30, "tokensOut": 3, "costUsd": 0.5, "model": "model",
        "contextPercent": 25.0,
    }  # fmt: skip
    assert Meter().total() == {"tokensIn": 0, "tokensOut": 0}


def test_a_turn_has_what_it_used_itself() -> None:
    meter = Meter()
    meter.add(Usage(10, 1, 0.5))
    assert meter.turn() == {"tokensIn": 10, "tokensOut": 1, "costUsd": 0.5}
    meter.add(Usage(20, 2, 0.75))
    meter.add(Usage(1, 1))
    assert meter.turn() == {"tokensIn": 21, "tokensOut": 3, "costUsd": 0.25}
    assert meter.turn() == {}


def test_a_price_that_is_not_known_stays_unknown() -> None:
    meter = Meter()
    meter.add(Usage(10, 1))
    assert "costUsd" not in meter.turn()
    meter.add(Usage(10, 1, 0.5))  # of both turns: of this one alone it is not known
    assert "costUsd" not in meter.turn()
    assert meter.total()["costUsd"] == 0.5


def _marks(meter: Meter, used: int) -> list[object]:
    return [
        body["threshold"] for body in meter.add(Usage(0, 0, None, used, 100)) if "percent" in body
    ]


def test_each_mark_is_warned_of_once() -> None:
    meter = Meter()
    assert [_marks(meter, used) for used in (74, 75, 80, 89, 90, 100, 10, 80, 95)] == [
        [], [75], [], [], [90], [], [], [], [],
    ]  # fmt: skip


def test_of_two_marks_passed_at_once_the_higher_is_told() -> None:
    assert _marks(Meter(), 95) == [90]


def test_a_context_of_unknown_size_is_not_warned_of() -> None:
    assert [body["event"] for body in Meter().add(Usage(0, 0, None, 5, None))] == ["usage"]
