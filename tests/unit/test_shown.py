"""What a session is called in a table: what it does, and what somebody may have to know of it."""

from __future__ import annotations

import pytest

from coord.cli.facts import session_facts
from coord.cli.views import SESSIONS, state
from protocol.ops.sessions import SessionView
from tests.support.fake_hub import session

ASKS = {"note": "asks run: git push", "question": 1}
LIMITED = "2999-01-02T03:04:05Z"


def _one(named: str = "running", activity: str | None = None, **said: object) -> SessionView:
    view = session("ses_1", state=named, activity=activity, limitedUntil=LIMITED, account="claude")
    return SessionView.model_validate({**view, "agentState": said or None})


def _why(one: SessionView) -> str:
    return next(column for column in SESSIONS if column.title == "WHY").cell(one)


def test_what_it_asks_goes_before_a_limit_that_does_not_hold_it_up() -> None:
    assert _why(_one(activity="waiting", **ASKS)) == "asks run: git push (/1)"
    assert _why(_one(activity="busy")) == ""
    assert _why(_one("queued")).startswith("claude is limited until")


@pytest.mark.parametrize(
    ("silent", "shown", "full"),
    [
        ({"doing": "model"}, "no signal for", "while it waits for its model"),
        ({"doing": "start"}, "no signal for", "while it starts"),
        ({"doing": "provider"}, "no signal for", "while its provider makes it wait"),
        ({"doing": "tool", "what": "npm test"}, "a tool runs for", "while it runs npm test"),
        ({"doing": "tool", "toolSince": 1}, "a tool runs for", "while it runs a tool"),
    ],
)
def test_silence_stands_beside_what_it_does(
    silent: dict[str, object], shown: str, full: str
) -> None:
    one = _one(activity="busy", silent={"since": 1_000, **silent})
    assert state(one).startswith(f"running (busy, {shown} ")
    assert full in dict(session_facts(one))["silent"]


def test_the_end_of_its_silence_is_named_where_it_has_one() -> None:
    one = _one(activity="busy", silent={"since": 1_000, "doing": "model", "endsAt": 2_000})
    assert "its turn is ended at" in dict(session_facts(one))["silent"]


def test_what_is_heard_is_only_what_it_does() -> None:
    assert state(_one(activity="busy")) == "running (busy)"
    assert state(_one("failed")) == "failed"
    assert dict(session_facts(_one(activity="idle", note="")))["silent"] == ""
