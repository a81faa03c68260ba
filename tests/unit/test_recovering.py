"""Each disagreement is found, and what only a spoke knows is never thrown away for good."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hub.core.recovering import Forget, Found, GiveUp, Record, Remember, TakeAway, decide
from protocol.ops.wire import FoundAttempt, FoundRef, FoundWorktree, Survey
from protocol.session import State

LIVE = Record(
    session_id="s", state=State.RUNNING, attempt=2, spoke_id="sp", worktree="/w/s", live=True,
    accepted=True, away=False,
)  # fmt: skip
OVER = replace(LIVE, state=State.COMPLETED, live=False)
ATTEMPT = FoundAttempt(session_id="s", attempt=2)
WORKTREE = FoundWorktree(session_id="s", worktree="/w/s", branch="b")
REF = FoundRef(session_id="s", ref="refs/coord/wip/s", commit="c", repo="/r")
EMPTY = Survey(attempts=[], worktrees=[], saved=[], branches=[])
ALL = Survey(attempts=[ATTEMPT], worktrees=[WORKTREE], saved=[REF], branches=[])


def _found(record: Record | None, survey: Survey | None) -> list[Found]:
    return decide([] if record is None else [record], {} if survey is None else {"sp": survey})


@pytest.mark.parametrize(
    ("record", "survey"),
    [
        (LIVE, ALL),
        (OVER, ALL),
        (replace(LIVE, accepted=False), EMPTY),
        (LIVE, None),
        (replace(OVER, worktree=None), EMPTY),
        (replace(LIVE, worktree=None), EMPTY.model_copy(update={"attempts": [ATTEMPT]})),
        (replace(LIVE, worktree=None), ALL),
        (replace(OVER, worktree=None), ALL),
    ],
)
def test_where_all_agrees_or_nobody_can_say_nothing_is_found(
    record: Record, survey: Survey | None
) -> None:
    assert _found(record, survey) == []


def test_a_live_attempt_that_its_spoke_does_not_have() -> None:
    [found] = _found(LIVE, EMPTY)
    assert found.act == GiveUp("s", 2, "its spoke no longer has it")


def test_a_worktree_that_is_not_there_is_forgotten() -> None:
    [found] = _found(OVER, EMPTY)
    assert found.act == Forget("s", 2)


def test_a_worktree_that_a_spoke_put_back_and_could_not_say_so_is_known_again() -> None:
    alone = EMPTY.model_copy(update={"worktrees": [WORKTREE]})
    [found] = _found(replace(OVER, worktree=None), alone)
    assert found.act == Remember("sp", "s", "/w/s")
    assert _found(replace(LIVE, worktree=None, accepted=False), alone) == [], "it is being made"


@pytest.mark.parametrize("state", [State.ABORTING, State.UNKNOWN])
def test_what_waits_for_a_machine_that_is_gone(state: State) -> None:
    [found] = _found(replace(LIVE, state=state, away=True), None)
    assert isinstance(found.act, GiveUp)
    assert "nobody saw it dead" in found.act.why


def test_a_worktree_of_nobody_and_one_left_behind_go_to_the_trash() -> None:
    alone = EMPTY.model_copy(update={"worktrees": [WORKTREE]})
    [found] = _found(None, alone)
    assert found.act == TakeAway("sp", "s", "/w/s", "b")
    [found] = _found(replace(LIVE, spoke_id="other"), alone)
    assert found.act == TakeAway("sp", "s", "/w/s", "b")


def test_an_attempt_that_the_database_does_not_know_is_left_alone() -> None:
    found = _found(None, ALL)
    assert {one.kind for one in found} == {"unknown_attempt", "orphan_ref"}
    assert all(one.act is None for one in found)


def test_a_damaged_spool() -> None:
    damaged = ALL.model_copy(update={"attempts": [ATTEMPT.model_copy(update={"damaged": True})]})
    [found] = _found(LIVE, damaged)
    assert found.act == GiveUp("s", 2, "its spool is damaged")


def test_a_branch_of_nobody_is_shown() -> None:
    branch = REF.model_copy(update={"ref": "refs/heads/b"})
    [found] = _found(None, EMPTY.model_copy(update={"branches": [branch]}))
    assert (found.kind, found.act) == ("stray_branch", None)
