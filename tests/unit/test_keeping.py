"""Nothing is removed without positive proof."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.keeping import Keep, Remove, decide, steps
from protocol.ops.wire import Inspected
from protocol.session import ENDED, State

CLEAN = Inspected(exists=True, head="c0ffee")


@pytest.mark.parametrize("state", sorted(set(State) - ENDED))
def test_a_session_that_has_not_ended_keeps_its_worktree(state: State) -> None:
    assert isinstance(decide(state, CLEAN, force=True), Keep)


def test_what_cannot_be_seen_is_kept() -> None:
    assert isinstance(decide(State.COMPLETED, None, force=True), Keep)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (CLEAN, "pushed"),
        (CLEAN.model_copy(update={"merged": True}), "it has nothing of its own"),
        (CLEAN.model_copy(update={"ahead": 2, "merged": True}), "merged"),
        (CLEAN.model_copy(update={"ahead": 2, "pushed": True}), "pushed"),
        (
            CLEAN.model_copy(update={"ahead": 2, "saved_ref": "refs/x", "saved": True}),
            "saved in refs/x",
        ),
        (Inspected(exists=False), "the worktree is gone already"),
    ],
)
def test_what_is_safe_elsewhere_is_removed(seen: Inspected, why: str) -> None:
    choice = decide(State.COMPLETED, seen, force=False)
    assert isinstance(choice, Remove)
    assert (choice.why, choice.force) == (why, False)


@pytest.mark.parametrize(
    "seen",
    [
        CLEAN.model_copy(update={"dirty": True, "dirty_paths": ["a.txt"]}),
        CLEAN.model_copy(update={"ahead": 1}),
        CLEAN.model_copy(update={"ahead": 1, "saved_ref": "refs/x"}),  # an older state
        CLEAN.model_copy(update={"dirty": True, "saved": True, "left_out": ["sub/.git"]}),
        CLEAN.model_copy(update={"dirty": True, "dirty_paths": ["a"], "ahead": 1, "merged": True}),
    ],
)
def test_what_would_be_lost_is_kept_or_saved_first(seen: Inspected) -> None:
    assert isinstance(decide(State.FAILED, seen, force=False), Keep)
    forced = decide(State.FAILED, seen, force=True)
    assert isinstance(forced, Remove)
    assert forced.force


@given(
    st.builds(
        Inspected, exists=st.just(True), dirty=st.booleans(), dirty_paths=st.just(["f"]),
        ahead=st.integers(0, 3), merged=st.booleans(), pushed=st.booleans(),
        saved_ref=st.sampled_from([None, "refs/x"]), saved=st.booleans(),
        left_out=st.sampled_from([[], ["sub/.git"]]),
    ),
    st.sampled_from(sorted(State)),
    st.booleans(),
)  # fmt: skip
def test_nothing_unsaved_is_ever_removed(seen: Inspected, state: State, force: bool) -> None:
    choice = decide(state, seen, force=force)
    unsaved = seen.dirty or (seen.ahead and not seen.merged and not seen.pushed)
    at_risk = seen.left_out or (unsaved and not seen.saved)
    if isinstance(choice, Remove) and at_risk:
        assert choice.force


def test_a_branch_of_the_repository_goes_only_if_it_is_merged() -> None:
    merged = CLEAN.model_copy(update={"merged": True})
    for seen, goes in ((merged, True), (CLEAN.model_copy(update={"pushed": True}), False)):
        choice = decide(State.COMPLETED, seen, force=False, remote=True)
        assert isinstance(choice, Remove)
        assert choice.remote is goes
        said = steps(choice, seen, "b", asked_remote=True)
        assert any("at its repository" in step for step in said)


def test_a_rehearsal_says_each_step_with_its_proof() -> None:
    seen = CLEAN.model_copy(update={"ahead": 2, "merged": True})
    choice = decide(State.COMPLETED, seen, force=False)
    assert isinstance(choice, Remove)
    first, second = steps(choice, seen, "feat/x", asked_remote=False)
    assert "merged" in first
    assert "feat/x" in second


def test_what_a_repository_that_is_away_would_prove_is_not_proven() -> None:
    seen = CLEAN.model_copy(update={"ahead": 1, "source_away": "no route to host"})
    choice = decide(State.COMPLETED, seen, force=False)
    assert isinstance(choice, Keep)
    assert "no route to host" in choice.why
