"""Each state has a fact, what happens next, and a command to try."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from coord.cli.parser import read
from hub.core.explaining import Situation, explain
from protocol.session import State

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW = Situation(
    session_id="ses_1", state=State.QUEUED, since=AT, reason=None, aborting=False, spoke="anvil",
    spoke_online=True, spoke_seen_at=AT, wanted_spoke=None, requires={}, queue_deadline=None,
    run_deadline=None, exit_code=None, lost_after=timedelta(hours=1), spokes_online=2,
    spokes_fitting=1, worktree="/w", said=None,
)  # fmt: skip


@pytest.mark.parametrize("state", State)
def test_every_state_is_explained(state: State) -> None:
    story = explain(replace(NOW, state=state))
    assert story.fact
    assert story.next
    assert all(line.startswith("coordctl ") for line in story.you_can)
    assert story.you_can


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"spokes_online": 0}, "no spoke is online"),
        ({"spokes_fitting": 0, "wanted_spoke": "x"}, "no spoke that is online and takes work is x"),
        (
            {"spokes_fitting": 0, "requires": {"gpu": "h"}},
            "no spoke that is online and takes work carries gpu=h",
        ),
        ({"spokes_fitting": 0}, "no spoke that is online and takes work is left"),
        ({}, "waits for room on 1 spoke(s)"),
    ],
)
def test_a_queued_session_names_what_it_waits_for(change: dict[str, object], fact: str) -> None:
    assert explain(replace(NOW, **change)).fact == fact


def test_an_unknown_session_says_since_when_and_until_when() -> None:
    story = explain(replace(NOW, state=State.UNKNOWN))
    assert "out of reach since 03:04:05 UTC" in story.fact
    assert story.next_at == AT + timedelta(hours=1)


def test_an_abort_that_cannot_be_delivered_says_so() -> None:
    story = explain(replace(NOW, state=State.ABORTING, spoke_online=False))
    assert "waits in its outbox" in story.fact


def test_a_failed_session_says_why_in_a_sentence() -> None:
    story = explain(replace(NOW, state=State.FAILED, reason="AGENT_NOT_FOUND", said="no ./a.sh"))
    assert story.fact == "it failed: AGENT_NOT_FOUND: no ./a.sh"
    assert "coordctl logs --events ses_1" in story.you_can


@pytest.mark.parametrize("state", State)
def test_what_you_can_is_a_command_that_there_is(state: State) -> None:
    for line in explain(replace(NOW, state=state, spoke_online=False)).you_can:
        read(line.split()[1:])


def test_a_blocked_session_can_be_told() -> None:
    story = explain(replace(NOW, state=State.BLOCKED, reason="which database?"))
    assert "which database?" in story.fact
    assert "coordctl message ses_1 TEXT" in story.you_can
