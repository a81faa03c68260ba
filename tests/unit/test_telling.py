"""What the session above hears of a record, and what it does not."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from hub.core import telling
from tests.support.rows import record


def test_each_that_matters_is_told_with_its_number() -> None:
    heard = record("agent", event="heard")
    said = telling.of_all(7, [record("stdout", text="a"), heard, record("running"), heard])
    assert [(one.record, one.kind) for one in said] == [(8, "child_heard"), (10, "child_heard")]


def _told(kind: str, **body: JsonValue) -> tuple[str, dict[str, JsonValue]] | None:
    return telling.of(record(kind, **body))


def test_a_question_is_told_and_what_came_of_it() -> None:
    said = _told(
        "agent", event="asked", question=2, tool="run", what="git push", rule="ask run(*)",
        until=5, unanswered="deny",
    )  # fmt: skip
    assert said == (
        "child_asked",
        {
            "question": 2, "tool": "run", "what": "git push", "until": 5, "unanswered": "deny",
            "text": "asks whether it may run: git push",
        },
    )  # fmt: skip
    settled = _told("agent", event="decided", question=2, decision="allow", by="operator:ann")
    assert settled is not None
    assert settled[0] == "child_decided"
    assert settled[1]["text"] == "question 2: allow, by operator:ann"


def test_silence_is_told_with_what_it_does_and_so_is_its_end() -> None:
    said = _told("agent", event="silent", since=5, doing="tool", what="npm test", toolSince=4)
    assert said is not None
    assert said[0] == "child_silent"
    assert said[1] == {
        "since": 5, "doing": "tool", "what": "npm test", "toolSince": 4,
        "text": "gives no signal, while a tool runs (npm test)",
    }  # fmt: skip
    other = _told("agent", event="silent", since=5, doing="something new")
    assert other is not None
    assert other[1]["text"] == "gives no signal, while it works"
    assert _told("agent", event="heard", after=5) == ("child_heard", {"text": "it is heard again"})


@pytest.mark.parametrize(
    ("body", "kept", "text"),
    [
        (
            {
                "reason": "rateLimited", "message": "429",
                "failure": {"kind": "rateLimited", "message": "429", "advice": "wait"},
                "policy": {"action": "wait", "why": "rateLimited: it waits", "until": 9},
            },
            {"action": "wait", "until": 9, "kind": "rateLimited", "message": "429"},
            "failed: rateLimited: it waits",
        ),
        (
            {
                "reason": "sdkError", "message": "it broke",
                "failure": {"kind": "sdkError", "message": "it broke"},
                "policy": {"action": "stop", "why": "sdkError"},
            },
            {"action": "stop", "kind": "sdkError", "message": "it broke"},
            "failed: sdkError: it broke",
        ),
        ({"reason": "same", "message": "same"}, {"action": "stop"}, "failed: same"),
        ({}, {"action": "stop"}, "failed: no reason"),
    ],
)  # fmt: skip
def test_a_failure_is_told_with_what_is_done_about_it(
    body: dict[str, JsonValue], kept: dict[str, JsonValue], text: str
) -> None:
    assert _told("exited", outcome="failed", **body) == ("child_failed", {**kept, "text": text})


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("agent", {"event": "text", "text": "hello"}),
        ("agent", {"event": "decided", "decision": "deny", "by": "rule"}),
        ("exited", {"outcome": "completed"}),
        ("stdout", {"text": "asked"}),
    ],
)
def test_of_everything_else_nothing_is_told(kind: str, body: dict[str, JsonValue]) -> None:
    assert _told(kind, **body) is None
