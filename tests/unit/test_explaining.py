"""Each state has a fact, what happens next, and a command to try."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from coord.cli.parser import read
from hub.core.explaining import explain
from hub.core.situation import Asks, Closed, Parked, Silent, Situation
from protocol.session import State

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW = Situation(
    session_id="ses_1", state=State.QUEUED, since=AT, reason=None, aborting=False, spoke="anvil",
    spoke_online=True, spoke_seen_at=AT, wanted_spoke=None, closed=None, requires={}, sandbox="off",
    queue_deadline=None,
    run_deadline=None, exit_code=None, lost_after=timedelta(hours=1), spokes_online=2,
    spokes_fitting=1, worktree="/w", said=None, now=AT + timedelta(seconds=90),
    not_before=None, placed_at=AT, taken=True, take_within=timedelta(seconds=60), lease_ends=None,
    replaced_at=None, stop_waits_since=None, asks=None, silent=None, doubt=None, parked=None,
    tried=[], advice=None,
)  # fmt: skip
AWAY = replace(NOW, state=State.UNKNOWN, spoke_online=False)


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
        (
            {"spokes_fitting": 0, "sandbox": "read-only", "wanted_spoke": "x"},
            "no spoke that is online and takes work is x and can hold it in the sandbox read-only",
        ),
        ({}, "waits for room on 1 spoke(s)"),
    ],
)
def test_a_queued_session_names_what_it_waits_for(change: dict[str, object], fact: str) -> None:
    assert explain(replace(NOW, **change)).fact == f"{fact} for 90 s"


@pytest.mark.parametrize(
    ("closed", "which", "over"),
    [
        (Closed("gpu-1", online=True, shut="draining"), "draining", "uncordoned"),
        (Closed("gpu-1", online=True, shut="cordoned"), "cordoned", "uncordoned"),
        (Closed("gpu-1", online=False, shut=None), "offline", "back"),
        (
            Closed("gpu-1", online=False, shut="cordoned"),
            "offline and cordoned", "back and uncordoned",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("others", [0, 2])
def test_a_wanted_spoke_that_takes_nothing_is_told_of_with_the_way_out(
    closed: Closed, which: str, over: str, others: int
) -> None:
    waits = replace(NOW, wanted_spoke="gpu-1", closed=closed, spokes_fitting=0)
    story = explain(replace(waits, spokes_online=others))
    assert story.fact == f"it waits for 90 s for gpu-1, which is {which}"
    assert story.next == f"placed when gpu-1 is {over}, as soon as it has room"
    assert "coordctl spoke list" in story.you_can
    assert ("coordctl spoke uncordon gpu-1" in story.you_can) is (closed.shut is not None)
    for line in story.you_can:
        read(line.split()[1:])


def test_an_unknown_session_says_since_when_and_until_when() -> None:
    story = explain(AWAY)
    assert "out of reach for 90 s since 03:04:05 UTC" in story.fact
    assert story.next_at == AT + timedelta(hours=1)


def test_an_unknown_session_whose_spoke_is_back_is_not_out_of_reach() -> None:
    """It takes up what it had one by one, and its time counts from its return."""
    back = AT + timedelta(seconds=60)
    story = explain(replace(NOW, state=State.UNKNOWN, placed_at=back))
    assert story.fact == "anvil is back for 30 s, and looks for what it had"
    assert story.next_at == back + timedelta(hours=1)


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


def test_a_queued_session_that_is_held_back_says_until_when() -> None:
    story = explain(replace(NOW, not_before=AT + timedelta(seconds=100)))
    assert story.next.startswith("placed as soon as a spoke has room, but not before 03:05:45")


def test_an_order_that_is_not_taken_says_for_how_long_and_until_when() -> None:
    story = explain(replace(NOW, state=State.ASSIGNED, taken=False))
    assert story.fact == "its order waits for anvil to take it for 90 s"
    assert story.next_at == AT + timedelta(seconds=60)


SILENT = replace(NOW, lease_ends=AT + timedelta(seconds=45))


@pytest.mark.parametrize("state", [State.ASSIGNED, State.STARTING, State.RUNNING])
def test_a_silent_spoke_is_named_with_what_follows(state: State) -> None:
    story = explain(replace(SILENT, state=state))
    assert "the spoke has not been heard for 90 s since 03:04:05 UTC" in story.fact
    assert "unknown if the spoke stays silent" in story.next
    assert story.next_at == AT + timedelta(seconds=45)
    assert "(not now: a storm)" in explain(replace(SILENT, state=state, doubt="a storm")).next


def test_a_replaceable_session_says_when_it_is_started_elsewhere() -> None:
    at = AT + timedelta(minutes=3)
    story = explain(replace(AWAY, replaced_at=at))
    assert "ends itself" in story.fact
    assert "started elsewhere" in story.next
    assert story.next_at == at


def test_a_reaper_in_doubt_is_part_of_the_story() -> None:
    story = explain(replace(AWAY, doubt="a start is not long ago"))
    assert story.next.endswith("lost if it stays away (not now: a start is not long ago)")


def test_an_abort_says_whether_its_order_has_arrived() -> None:
    waits = explain(replace(NOW, state=State.ABORTING, stop_waits_since=AT))
    assert waits.fact == "the order waits for anvil to take it for 90 s"
    taken = explain(replace(NOW, state=State.ABORTING))
    assert taken.fact.startswith("anvil ends its processes for 90 s: INT")
    away = explain(replace(NOW, state=State.ABORTING, spoke_online=False, stop_waits_since=AT))
    assert away.fact.endswith("the order waits in its outbox for 90 s")


@pytest.mark.parametrize(
    ("seconds", "said"), [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h")]
)
def test_an_age_is_said_as_people_say_it(seconds: int, said: str) -> None:
    story = explain(replace(AWAY, now=AT + timedelta(seconds=seconds)))
    assert f"out of reach for {said} since" in story.fact


LIVE = [state for state in State if not state.ended]


@pytest.mark.parametrize("state", LIVE)
@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("doubt", [None, "a storm"])
@pytest.mark.parametrize("lease_ends", [None, AT])
@pytest.mark.parametrize("waits", [None, AT])
def test_every_situation_names_a_fact_and_what_follows(
    state: State, online: bool, doubt: str | None, lease_ends: datetime | None,
    waits: datetime | None,
) -> None:  # fmt: skip
    story = explain(
        replace(
            NOW, state=state, spoke_online=online, doubt=doubt, lease_ends=lease_ends,
            stop_waits_since=waits, taken=waits is None,
        )
    )  # fmt: skip
    assert story.fact
    assert story.next
    for line in story.you_can:
        read(line.split()[1:])
    if state in (State.ASSIGNED, State.STARTING, State.UNKNOWN, State.ABORTING):
        assert " for 90 s" in story.fact, "it has an age"


def test_a_parked_session_names_the_reset_and_what_happens_then() -> None:
    until = AT + timedelta(hours=5)
    parked = Parked("claude", AT, until, "five_hour", timedelta(seconds=30))
    story = explain(replace(NOW, parked=parked, tried=["attempt 1 with claude: rateLimited"]))
    assert story.fact.startswith("parked for 90 s: the account claude is limited")
    assert "five_hour" in story.fact
    assert "attempt 1" in story.fact
    assert "within 30 s after 2026-01-02 08:04:05 UTC" in story.next
    assert story.next_at == until


def test_both_failures_are_told_with_what_to_do() -> None:
    tried = "attempt 1 with claude: contextExhausted (too long), tried again in a new conversation"
    failed = replace(NOW, state=State.FAILED, reason="authFailed", tried=[tried], advice="log in")
    story = explain(failed)
    assert story.fact == f"it failed: authFailed; {tried}"
    assert story.next == "nothing by itself: log in"


def test_what_its_agent_asks_is_shown_with_how_to_answer() -> None:
    until = AT + timedelta(minutes=10)
    asks = Asks(3, "run: git push", until, "deny")
    story = explain(replace(NOW, state=State.RUNNING, asks=asks))
    assert story.fact == "its agent asks whether it may run: git push"
    assert (story.next, story.next_at) == ("denied if nobody answers in time", until)
    assert story.you_can[0] == "coordctl answer ses_1/3 allow"
    allowed = explain(replace(NOW, state=State.RUNNING, asks=replace(asks, unanswered="allow")))
    assert allowed.next == "allowed if nobody answers in time"


QUIET = Silent(AT - timedelta(minutes=4), "model", None, None, None)
WORKS = replace(NOW, state=State.RUNNING, silent=QUIET)


@pytest.mark.parametrize(
    ("change", "meanwhile"),
    [
        ({}, "while it waits for its model"),
        ({"doing": "start"}, "while it starts"),
        ({"doing": "provider"}, "while its provider makes it wait"),
        (
            {"doing": "tool", "tool": "npm test", "tool_since": AT},
            "while it runs npm test since 03:04:05 UTC",
        ),
        ({"doing": "tool", "tool": "npm test"}, "while it runs npm test"),
        ({"doing": "of a newer spoke"}, "while it works"),
    ],
)
def test_a_silent_agent_is_told_of_with_what_it_does(
    change: dict[str, object], meanwhile: str
) -> None:
    story = explain(replace(WORKS, silent=replace(QUIET, **change)))
    assert story.fact == f"its agent on anvil has said nothing since 03:00:05 UTC, {meanwhile}"
    assert story.since == QUIET.since
    assert story.next == "ends when its agent ends"
    assert "coordctl message --mode interrupt ses_1 TEXT" in story.you_can


def test_a_bound_on_silence_says_what_comes_of_it_and_when() -> None:
    story = explain(replace(WORKS, silent=replace(QUIET, ends_at=AT), run_deadline=NOW.now))
    assert story.next == (
        "its turn is ended as failed (sdkError) if it stays silent; else aborted when its time is"
        " over"
    )
    assert story.next_at == AT


def test_of_a_spoke_that_is_not_heard_its_own_silence_is_the_fact() -> None:
    story = explain(replace(WORKS, lease_ends=AT))
    assert "the spoke has not been heard" in story.fact
    assert "has said nothing" not in story.fact
