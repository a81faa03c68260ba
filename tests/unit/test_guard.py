"""An agent that goes round in circles is found out, and one that works is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from protocol.failure import FailureKind
from spoke.agents.guard import CALLS, COMPACTIONS, TEXTS, Guard
from spoke.agents.tongue import (
    Accepted,
    Compacted,
    Event,
    Text,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    Usage,
)

SAID, SHORT = Text("on it"), Compacted()


def _call(title: str, note: str = "") -> list[Event]:
    return [ToolStarted("1", title), ToolEnded("1", True, note)]


def _found(*events: Event) -> FailureKind | None:
    guard = Guard()
    guard.watch(events)
    return None if guard.found is None else guard.found.kind


@pytest.mark.parametrize(
    ("circle", "times", "kind"),
    [
        ([SHORT], COMPACTIONS, FailureKind.CONTEXT_EXHAUSTED),
        ([SHORT, SAID, Usage(1, 1)], COMPACTIONS, FailureKind.CONTEXT_EXHAUSTED),
        ([SAID], TEXTS, FailureKind.CONTEXT_EXHAUSTED),
        (_call("Bash: make test"), CALLS, FailureKind.SDK_ERROR),
        ([*_call("bash", "make test"), SAID], CALLS, FailureKind.SDK_ERROR),
    ],
)
def test_a_circle_is_found_at_its_bound_and_not_before(
    circle: list[Event], times: int, kind: FailureKind
) -> None:
    assert _found(*circle * (times - 1)) is None
    assert _found(*circle * times) is kind


@pytest.mark.parametrize(
    "work",
    [
        [SHORT, *_call("Bash: a b")],
        [SAID, *_call("Bash: a b"), *_call("Bash: c d")],
        [SAID, Accepted("msg")],
        _call("Grep"),
        [*_call("bash", "sleep 1"), *_call("bash", "sleep 2")],
        [SAID, SHORT, TurnEnded("completed")],
    ],
)
def test_work_is_no_circle(work: Sequence[Event]) -> None:
    assert _found(*[*work] * (CALLS - 1)) is None


def test_the_turn_that_was_ended_for_it_has_failed_for_it_and_the_next_is_another() -> None:
    guard = Guard()
    guard.watch([SHORT] * COMPACTIONS)
    found = guard.found
    assert guard.watch([TurnEnded("aborted")]) == [TurnEnded("failed", found)]
    assert guard.found is None
    assert guard.watch([SHORT, TurnEnded("completed")])[-1] == TurnEnded("completed")
