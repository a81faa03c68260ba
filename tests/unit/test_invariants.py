"""Each invariant notices when it is broken, and no other one cries with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.session import State
from tests.support.invariants import (
    RULES,
    WHEN_QUIET,
    Event,
    Hold,
    Line,
    Seen,
    Session,
    Work,
    violations,
)

DONE = {"outcome": "completed"}
OUT = {"text": "line 1"}


def _event(seq: int, kind: str, record: int | None = None, body: object = None) -> Event:
    return Event("one", seq, 1, kind, record, body)


STORY = (
    Event("one", 1, 0, "queued"),
    _event(2, "assigned"),
    _event(3, "starting", 1, {}),
    _event(4, "running", 2, {}),
    _event(5, "delivered", 3, {"messageId": "m1"}),
    _event(6, "stdout", 4, OUT),
    _event(7, "exited", 5, DONE),
    _event(8, "completed"),
)
SPOOL = (
    Line("starting", {}), Line("running", {}), Line("delivered", {"messageId": "m1"}),
    Line("stdout", OUT), Line("exited", DONE),
)  # fmt: skip
ONE = Session("one", State.COMPLETED, attempt=1, key="k", last_seq=8, result=DONE)
HELD = Hold(("one", 1), stored=5)
HEALTHY = Seen(
    sessions=(ONE,),
    holds=(HELD,),
    events=STORY,
    spools={("one", 1): SPOOL},
    work=(Work("one", "committed abc", "refs/heads/a"),),
)
LIVE = Seen(
    sessions=(Session("two", State.RUNNING, attempt=1, last_seq=3),),
    holds=(Hold(("two", 1), live=True, stored=2),),
    events=(
        Event("two", 1, 0, "queued"),
        Event("two", 2, 1, "starting", 1),
        Event("two", 3, 1, "running", 2),
    ),
    processes={7: ("two", 1)},
)


def test_what_is_as_it_should_be_is_not_accused() -> None:
    assert violations(HEALTHY) == []
    assert violations(LIVE, quiet=False) == []


def _with(seen: Seen, *more: Event, **changed: object) -> Seen:
    """Events at the end of the story; and what else is to be otherwise."""
    told = {"last_seq": seen.sessions[0].last_seq + len(more), **changed}
    first = replace(seen.sessions[0], **told)
    return replace(seen, events=(*seen.events, *more), sessions=(first, *seen.sessions[1:]))


BROKEN: dict[str, Seen] = {
    "the sequence of a story has no gap": _with(HEALTHY, last_seq=9),
    "each record is stored once, in order": replace(HEALTHY, holds=(replace(HELD, stored=6),)),
    "each record is what the spool says": replace(
        HEALTHY, spools={("one", 1): (*SPOOL[:3], Line("stdout", {"text": "line 2"}), SPOOL[4])}
    ),
    "no record is missing": replace(
        HEALTHY, spools={("one", 1): (*SPOOL, Line("exited", DONE))}
    ),
    "no superseded attempt writes": replace(
        HEALTHY,
        sessions=(replace(ONE, attempt=2, last_seq=12, state=State.FAILED, result={"x": 1}),),
        holds=(replace(HELD, stored=3), Hold(("one", 2), stored=2)),
        events=(
            *STORY[:4],
            Event("one", 5, 2, "queued"),
            Event("one", 6, 2, "starting", 1),
            Event("one", 7, 1, "stdout", 3, OUT),
            Event("one", 8, 2, "exited", 2, {"x": 1}),
            Event("one", 9, 2, "failed"),
            *(Event("one", n, 2, "message") for n in (10, 11, 12)),
        ),
        spools={},
    ),
    "exactly one final event": replace(HEALTHY, sessions=(replace(ONE, state=State.FAILED),)),
    "the result is that of the current attempt": _with(HEALTHY, result={"outcome": "failed"}),
    "at most one live mapping": replace(
        LIVE, holds=(*LIVE.holds, Hold(("two", 2), live=True))
    ),
    "no mapping on an ended session": replace(HEALTHY, holds=(replace(HELD, live=True),)),
    "nothing runs under an aborted parent": replace(
        LIVE,
        sessions=(
            replace(LIVE.sessions[0], parent="one"),
            Session("one", State.COMPLETED, aborting=True),
        ),
        events=(*LIVE.events,),
    ),
    "idempotency keys are unique": replace(
        LIVE, sessions=(*LIVE.sessions, Session("x", State.QUEUED, key="k"),
                        Session("y", State.QUEUED, key="k")),
    ),
    "no event after the end": _with(HEALTHY, _event(9, "assigned")),
    "no message is delivered twice": replace(
        HEALTHY,
        sessions=(replace(ONE, last_seq=9),),
        holds=(replace(HELD, stored=6),),
        events=(
            *STORY[:6],
            _event(7, "delivered", 5, {"messageId": "m1"}),
            _event(8, "exited", 6, DONE),
            _event(9, "completed"),
        ),
        spools={},
    ),
    "no process without a live session": replace(LIVE, processes={7: ("two", 1), 8: ("no", 1)}),
    "no live session without a process": replace(LIVE, processes={}),
    "no work is lost": replace(HEALTHY, work=(Work("one", "committed abc", None),)),
    "every session reaches an end": LIVE,
    "no process is left": LIVE,
}  # fmt: skip


@pytest.mark.parametrize("rule", [*RULES, *WHEN_QUIET])
def test_each_rule_notices_when_it_is_broken(rule: str) -> None:
    found = violations(BROKEN[rule], quiet=rule in WHEN_QUIET)
    assert [one for one in found if one.startswith(f"{rule}: ")], found


ALONE = sorted(
    BROKEN.keys()
    - {
        # These cannot be broken alone: what runs has not ended.
        "every session reaches an end",
        "no process is left",
        "nothing runs under an aborted parent",
    }
)


@pytest.mark.parametrize("rule", ALONE)
def test_and_no_other_cries_with_it(rule: str) -> None:
    found = violations(BROKEN[rule], quiet=False)
    assert {one.partition(": ")[0] for one in found} == {rule}


@pytest.mark.parametrize(
    ("after", "legal"),
    [("completed", True), ("failed", True), ("assigned", False), ("aborted", True)],
)
def test_late_truth_may_follow_a_guess_and_nothing_else(after: str, legal: bool) -> None:
    said = {"outcome": after}
    story = (*STORY[:4], _event(5, "lost"), _event(6, "exited", 3, said), _event(7, after))
    state = State(after) if legal else State.LOST
    session = replace(ONE, state=state, last_seq=7, result=said)
    seen = replace(
        HEALTHY, events=story, sessions=(session,), holds=(replace(HELD, stored=3),), spools={}
    )
    assert (violations(seen) == []) is legal


def test_what_the_daemon_adds_to_an_end_is_no_lie_but_what_it_changes_is() -> None:
    def told(body: dict[str, object]) -> list[str]:
        story = (*STORY[:6], _event(7, "exited", 5, body), STORY[7])
        return violations(replace(HEALTHY, events=story, sessions=(replace(ONE, result=body),)))

    assert told({**DONE, "saving": True}) == []
    assert told({"outcome": "failed"})
    assert told({"saving": True})


def test_an_attempt_that_ends_twice_is_seen() -> None:
    twice = _with(HEALTHY, _event(9, "failed"), state=State.FAILED)
    assert any(one.startswith("exactly one final event") for one in violations(twice))


def test_a_new_attempt_after_an_end_is_no_violation() -> None:
    again = (
        Event("one", 9, 1, "message"),
        Event("one", 10, 1, "queued"),
        Event("one", 11, 2, "assigned"),
        Event("one", 12, 2, "exited", 1, DONE),
        Event("one", 13, 2, "completed"),
    )
    seen = _with(HEALTHY, *again, attempt=2)
    assert violations(replace(seen, holds=(HELD, Hold(("one", 2), stored=1)))) == []


@pytest.mark.parametrize("away", [True, False])
def test_what_runs_for_a_lost_session_is_excused_only_where_nobody_reaches_it(away: bool) -> None:
    lost = replace(ONE, state=State.LOST, last_seq=5, result=None)
    seen = replace(
        HEALTHY,
        sessions=(lost,),
        events=(*STORY[:4], _event(5, "lost")),
        holds=(replace(HELD, stored=2, away=away),),
        spools={},
        processes={7: ("one", 1)},
    )
    assert (violations(seen, quiet=False) == []) is away


def test_what_is_started_again_and_aborted_in_the_queue_ended_once_more() -> None:
    """Nothing of it ran again: its attempt is the one before, and its result says so."""
    again = (Event("one", 9, 1, "queued"), Event("one", 10, 1, "aborted"))
    never = {"endedBy": "never_started"}
    ended = _with(HEALTHY, *again, state=State.ABORTED, aborting=True, result=never)
    assert violations(ended) == []
    stale = _with(HEALTHY, *again, state=State.ABORTED, aborting=True, result=DONE)
    assert any("result" in one for one in violations(stale))
