"""What is done about each kind of failure: the table, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from hub.core.failing import (
    FIRST_WAIT,
    LONGEST_WAIT,
    MOST_JITTER,
    STEPS,
    Action,
    Before,
    Decision,
    Failed,
    Limit,
    Past,
    decide,
    jitter,
)
from protocol.failure import FailureKind

K, A = FailureKind, Action
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OPEN = Limit()


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1_000)


def _decide(
    kind: FailureKind,
    *before: tuple[FailureKind, Action],
    chain: Sequence[str] = (),
    limit: Limit = OPEN,
    retry_at: int | None = None,
) -> Decision:
    was = [Before(str(one), str(action)) for one, action in before]
    failed = Failed(len(was) + 1, "claude", kind, "no", retry_at)
    return decide(failed, Past(was, chain, limit, NOW))


@pytest.mark.parametrize("kind", K)
def test_without_a_chain(kind: FailureKind) -> None:
    first = {
        K.CONTEXT_EXHAUSTED: A.FRESH, K.CONVERSATION_LOST: A.FRESH, K.RATE_LIMITED: A.WAIT,
    }  # fmt: skip
    decision = _decide(kind)
    assert decision.action is first.get(kind, A.STOP)
    assert decision.why.startswith(str(kind))


@pytest.mark.parametrize("kind", K)
def test_with_a_chain(kind: FailureKind) -> None:
    moves_on = {K.RATE_LIMITED, K.AUTH_FAILED, K.AGENT_MISSING, K.SDK_ERROR}
    decision = _decide(kind, chain=["codex"])
    assert (decision.action is A.FALLBACK) == (kind in moves_on)
    if decision.action is A.FALLBACK:
        assert decision.link == 0
        assert "codex" in decision.why


def test_a_context_is_exhausted_once_and_then_that_is_told() -> None:
    full = (K.CONTEXT_EXHAUSTED, A.FRESH)
    assert _decide(K.CONTEXT_EXHAUSTED, full).action is A.STOP
    assert _decide(K.CONTEXT_EXHAUSTED, full, chain=["gemini"]).action is A.FALLBACK
    assert _decide(K.SDK_ERROR, full).action is A.STOP


def test_another_agent_has_a_try_of_its_own() -> None:
    before = ((K.CONTEXT_EXHAUSTED, A.FRESH), (K.CONTEXT_EXHAUSTED, A.FALLBACK))
    assert _decide(K.CONTEXT_EXHAUSTED, *before, chain=["gemini"]).action is A.FRESH


def test_what_was_done_for_another_failure_takes_no_try() -> None:
    before = ((K.RATE_LIMITED, A.WAIT), (K.CONVERSATION_LOST, A.FRESH))
    assert _decide(K.CONTEXT_EXHAUSTED, *before).action is A.FRESH


def test_a_chain_is_gone_along_once_and_at_its_end_it_waits() -> None:
    moved = (K.RATE_LIMITED, A.FALLBACK)
    assert _decide(K.SDK_ERROR, moved, chain=["a", "b"]).link == 1
    assert _decide(K.SDK_ERROR, moved, moved, chain=["a", "b"]).action is A.STOP
    assert _decide(K.RATE_LIMITED, moved, moved, chain=["a", "b"]).action is A.WAIT


def test_it_does_not_wait_for_ever() -> None:
    waits = [(K.RATE_LIMITED, A.WAIT)] * 24
    assert _decide(K.RATE_LIMITED, *waits[1:]).action is A.WAIT
    assert _decide(K.RATE_LIMITED, *waits).action is A.STOP


def test_it_waits_until_the_provider_says() -> None:
    reset = NOW + timedelta(hours=5)
    decision = _decide(K.RATE_LIMITED, retry_at=_ms(reset))
    assert (decision.until, decision.strikes) == (reset, 1)
    assert "2026-01-02 08:04:05 UTC" in decision.why


@pytest.mark.parametrize("away", [timedelta(days=-1), timedelta(0)])
def test_a_reset_that_is_over_is_tried_a_moment_later(away: timedelta) -> None:
    until = _decide(K.RATE_LIMITED, retry_at=_ms(NOW + away)).until
    assert until is not None
    assert NOW < until < NOW + timedelta(seconds=5)


def test_a_reset_out_of_this_world_is_not_believed() -> None:
    assert _decide(K.RATE_LIMITED, retry_at=10**18).until == NOW + FIRST_WAIT


def test_where_nobody_says_until_when_it_waits_longer_each_time_in_a_row() -> None:
    ago = NOW - timedelta(minutes=1)
    waits = [_decide(K.RATE_LIMITED, limit=Limit(None, ago, n)) for n in range(10)]
    assert [one.strikes for one in waits] == list(range(1, 11))
    assert waits[0].until == NOW + FIRST_WAIT
    assert waits[2].until == NOW + 4 * FIRST_WAIT
    assert waits[9].until == NOW + LONGEST_WAIT


def test_a_limit_long_ago_is_forgotten() -> None:
    ago = NOW - timedelta(hours=1)
    assert _decide(K.RATE_LIMITED, limit=Limit(None, ago, 5)).strikes == 1


def test_those_who_fail_together_count_once_and_wait_for_the_later_reset() -> None:
    limit = Limit(NOW + timedelta(hours=1), None, 2)
    sooner = _decide(K.RATE_LIMITED, limit=limit, retry_at=_ms(NOW + timedelta(minutes=5)))
    assert (sooner.until, sooner.strikes) == (limit.until, 2)
    later = NOW + timedelta(hours=2)
    assert _decide(K.RATE_LIMITED, limit=limit, retry_at=_ms(later)).until == later


def test_a_limit_that_is_over_and_was_not_opened_yet_is_the_one_before() -> None:
    limit = Limit(NOW - timedelta(seconds=1), None, 1)
    assert _decide(K.RATE_LIMITED, limit=limit).strikes == 2


def test_those_who_wait_are_woken_over_a_tenth_of_their_wait() -> None:
    assert jitter(NOW, NOW + timedelta(minutes=1)) == timedelta(seconds=6)
    assert jitter(NOW, NOW + timedelta(hours=5)) == MOST_JITTER
    assert timedelta(0) < jitter(NOW, NOW) <= timedelta(seconds=1)


def test_every_step_of_the_table_can_be_taken() -> None:
    for kind, steps in STEPS.items():
        assert steps, kind
        assert all(step.action is not A.STOP for step in steps)
