"""Who may speak when, in a tongue of the test's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from protocol.failure import Failure, FailureKind
from spoke.agents.effects import Hangup, Tell, Write
from spoke.agents.talk import MAX_QUEUED, Stage, Talk, judge
from spoke.agents.tongue import (
    Accepted,
    AfterDenial,
    Compacted,
    Denied,
    Event,
    GoesOn,
    Held,
    Ready,
    Reply,
    Settlement,
    Start,
    Text,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    Usage,
)

BROKEN = Failure(FailureKind.SDK_ERROR, "broken")


@dataclass
class Plain:
    """Says its verbs, and means what it is given."""

    steers: bool = True
    after_denial: AfterDenial = "hears"
    means: Sequence[Event] = field(default_factory=list[Event])

    def open(self) -> Sequence[str]:
        return ["open"]

    def prompt(self, text: str, message_id: str) -> Sequence[str]:
        return ["begin", f"prompt {text}"]

    def steer(self, text: str, message_id: str) -> Sequence[str]:
        return [f"steer {text}"] if self.steers else []

    def cancel(self) -> Sequence[str]:
        return ["cancel"]

    def answer(self, id: str, settlement: Settlement, why: str) -> Sequence[str]:
        return [f"{settlement} {id} {why}".strip()]

    def read(self, line: str, now: int) -> Sequence[Event]:
        return self.means


class Floor:
    """A talk with somebody who means what the test says."""

    def __init__(
        self, first: str | None = "task", *, lingers: bool = True, steers: bool = True
    ) -> None:
        self.tongue = Plain(steers)
        self.talk = Talk(self.tongue, first, lingers=lingers)
        self.effects = self.talk.open()

    def means(self, *events: Event) -> list[object]:
        self.tongue.means = events
        return self._new(self.talk.hear("line", 0))

    def say(self, id: str, mode: str = "queue", text: str = "more") -> list[object]:
        state, effects = self.talk.say(id, text, mode)
        assert state == "queued"
        return self._new(effects)

    def opened(self) -> Floor:
        self.means(Ready("conversation", "1.0"))
        return self

    @staticmethod
    def _new(effects: Sequence[object]) -> list[object]:
        """Without what is only told."""
        return [one for one in effects if not isinstance(one, Tell)]


def told(effects: Sequence[object]) -> list[object]:
    return [dict(one.body) for one in effects if isinstance(one, Tell)]


def test_the_task_is_said_once_the_conversation_is_open() -> None:
    on = Floor()
    assert on.effects[0] == Write("open")
    assert on.talk.stage is Stage.OPENING
    assert on.means(Ready("conversation", "1.0")) == [Write("begin"), Write("prompt task")]
    assert on.talk.stage is Stage.BUSY


def test_a_turn_ends_with_what_it_used() -> None:
    on = Floor().opened()
    on.tongue.means = [Usage(30, 5), TurnEnded("completed")]
    (ended,) = [one for one in told(on.talk.hear("line", 0)) if "outcome" in str(one)]
    assert ended == {
        "event": "turnEnded", "outcome": "completed", "usage": {"tokensIn": 30, "tokensOut": 5},
    }  # fmt: skip


def test_what_is_said_meanwhile_waits_for_its_turn_in_order() -> None:
    on = Floor().opened()
    assert on.say("m1", text="one") == []
    assert on.say("m2", text="two") == []
    assert list(on.talk.waiting) == ["m1", "m2"]
    assert on.means(TurnEnded("completed")) == [Write("begin"), Write("prompt one", "m1", "queue")]
    assert on.means(TurnEnded("completed")) == [Write("begin"), Write("prompt two", "m2", "queue")]
    assert on.means(TurnEnded("completed")) == []
    assert on.talk.stage is Stage.IDLE
    assert on.say("m3", "interrupt") == [Write("begin"), Write("prompt more", "m3", "queue")]


def test_a_message_is_taken_once() -> None:
    on = Floor().opened()
    on.say("m1")
    assert on.talk.say("m1", "again", "queue") == ("duplicate", [])


def test_only_so_many_wait() -> None:
    on = Floor().opened()
    for n in range(MAX_QUEUED):
        on.say(f"m{n}")
    assert on.talk.say("one too many", "more", "queue") == ("full", [])


def test_it_is_steered_while_it_works_and_where_it_can_be() -> None:
    assert Floor().opened().say("m1", "steer") == [Write("steer more", "m1", "steer")]
    on = Floor(steers=False).opened()
    assert on.say("m1", "steer") == []
    assert on.means(TurnEnded("completed"))[-1] == Write("prompt more", "m1", "queue")


def test_an_interrupt_ends_the_turn_and_is_heard_first() -> None:
    on = Floor().opened()
    on.say("m1", text="later")
    assert on.say("m2", "interrupt", text="now") == [Write("cancel")]
    assert on.say("m3", "interrupt", text="rather now") == []
    assert on.means(TurnEnded("aborted"))[-1] == Write("prompt rather now", "m3", "interrupt")


def test_without_lingering_it_ends_with_its_turn() -> None:
    on = Floor(lingers=False).opened()
    assert on.means(TurnEnded("completed")) == [Hangup()]
    assert on.talk.stage is Stage.OVER
    assert on.talk.say("m1", "late", "queue") == ("closed", [])
    assert on.means(TurnEnded("completed")) == []


def test_a_failed_turn_ends_the_conversation() -> None:
    on = Floor().opened()
    on.say("m1")
    on.tongue.means = [TurnEnded("failed", BROKEN)]
    effects = on.talk.hear("line", 0)
    assert effects[-1] == Hangup()
    assert told(effects) == [{"event": "turnEnded", "outcome": "failed", "failure": BROKEN.body()}]
    assert on.talk.failure == BROKEN
    assert list(on.talk.waiting) == ["m1"]


def test_hanging_up_ends_the_turn_first() -> None:
    on = Floor().opened()
    on.say("m1")
    assert on.talk.hang_up() == [Write("cancel")]
    assert on.talk.hang_up() == []
    assert on.means(TurnEnded("aborted")) == [Hangup()]
    assert Floor().talk.hang_up() == [Hangup()]
    idle = Floor(first=None).opened()
    assert idle.talk.hang_up() == [Hangup()]


def test_what_it_means_is_told() -> None:
    on = Floor().opened()
    on.tongue.means = [
        Reply("yes"), Accepted("m1"), Accepted(""), Text("hello"), ToolStarted("1", "ls"),
        ToolEnded("1", True), ToolEnded("2", False, "rm"), Held("rate_limit", 5),
        Held("rate_limit", 5), Text("on"), Denied("rm"),
    ]  # fmt: skip
    effects = on.talk.hear("line", 0)
    assert effects[0] == Write("yes")
    assert told(effects) == [
        {"event": "accepted", "messageId": "m1"},
        {"event": "text", "text": "hello"},
        {"event": "tool", "id": "1", "state": "started", "title": "ls"},
        {"event": "tool", "id": "1", "state": "ended", "ok": True},
        {"event": "tool", "id": "2", "state": "ended", "ok": False, "title": "rm"},
        {"event": "activity", "activity": "rate_limited", "note": "rate_limit", "until": 5},
        {"event": "activity", "activity": "busy"},
        {"event": "text", "text": "on"},
        {"event": "denied", "what": "rm"},
    ]
    assert on.talk.denied == "rm"


def test_it_works_again_when_its_provider_answers() -> None:
    on = Floor().opened()
    on.tongue.means = [Held("rate_limit", 5), GoesOn(), GoesOn()]
    assert told(on.talk.hear("line", 0)) == [
        {"event": "activity", "activity": "rate_limited", "note": "rate_limit", "until": 5},
        {"event": "activity", "activity": "busy"},
    ]


def test_what_a_dying_turn_says_does_not_make_it_busy() -> None:
    on = Floor().opened()
    on.talk.hang_up()
    on.tongue.means = [Held("rate_limit"), Text("bye")]
    assert told(on.talk.hear("line", 0))[-1] == {"event": "text", "text": "bye"}


def test_usage_adds_up() -> None:
    on = Floor().opened()
    on.means(Usage(10, 1, 0.5, 50, 200, "model"), Usage(20, 2, None, None, None, None))
    assert on.talk.usage() == {
        "tokensIn": 30, "tokensOut": 3, "costUsd": 0.5, "model": "model", "contextPercent": 25.0,
    }  # fmt: skip
    assert Floor().talk.usage() == {"tokensIn": 0, "tokensOut": 0}


def _over(*events: Event) -> Talk:
    on = Floor(lingers=False).opened()
    for event in events:
        on.means(event)
    return on.talk


@pytest.mark.parametrize(
    ("talk", "moved", "outcome", "kind", "said"),
    [
        (_over(TurnEnded("completed")), True, "completed", None, None),
        (_over(TurnEnded("completed")), None, "completed", None, None),
        (_over(TurnEnded("completed")), False, "completed", None, "it committed nothing"),
        (_over(Denied("rm"), TurnEnded("completed")), True, "completed", None, None),
        (_over(Denied("rm"), TurnEnded("completed")), False, "failed", "toolDenied",
         "it committed nothing, and was not allowed: rm"),
        (_over(TurnEnded("failed", BROKEN)), True, "failed", "sdkError", "broken"),
        (_over(), True, "failed", "sdkError", "the agent ended: SIGKILL"),
    ],
)  # fmt: skip
def test_the_end_is_judged_by_the_work_and_not_by_its_word(
    talk: Talk, moved: bool | None, outcome: str, kind: str | None, said: str | None
) -> None:
    judged, failure, message = judge(talk, ended="SIGKILL", moved=moved)
    assert (judged, failure and failure.kind, message) == (outcome, kind, said)


def test_an_agent_that_never_began_has_failed() -> None:
    on = Floor()
    on.talk.hang_up()
    outcome, failure, _ = judge(on.talk, ended="exit code 0", moved=True)
    assert outcome == "failed"
    assert failure is not None
    assert Start("/w").resume is False


def test_a_turn_that_goes_round_in_circles_is_ended_and_has_failed() -> None:
    on = Floor().opened()
    assert on.means(*[Compacted()] * 3) == [Write("cancel")]
    assert on.means(Compacted()) == []
    on.means(TurnEnded("aborted"))
    assert on.talk.stage is Stage.OVER
    assert on.talk.failure is not None
    assert on.talk.failure.kind is FailureKind.CONTEXT_EXHAUSTED


def test_a_turn_is_given_up_with_its_reason() -> None:
    floor = Floor().opened()
    assert floor.talk.stage is Stage.BUSY
    assert floor.talk.give_up(BROKEN) == [Write("cancel")]
    assert floor.talk.give_up(BROKEN) == []
    floor.means(TurnEnded("aborted"))
    assert floor.talk.stage is Stage.OVER
    assert judge(floor.talk, ended="exit code 0", moved=True) == ("failed", BROKEN, "broken")


def test_one_that_does_not_end_its_turn_failed_for_why_it_was_given_up() -> None:
    floor = Floor().opened()
    floor.talk.give_up(BROKEN)
    assert judge(floor.talk, ended="SIGKILL", moved=True) == ("failed", BROKEN, "broken")


def test_what_is_over_did_not_fail_by_being_given_up() -> None:
    floor = Floor(lingers=False).opened()
    floor.means(TurnEnded("completed"))
    assert floor.talk.stage is Stage.OVER
    assert floor.talk.give_up(BROKEN) == []
    assert judge(floor.talk, ended="SIGINT", moved=True) == ("completed", None, None)


def test_one_that_never_begins_is_given_up() -> None:
    floor = Floor()
    assert floor.talk.give_up(BROKEN) == [Hangup()]
    assert judge(floor.talk, ended="SIGINT", moved=None) == ("failed", BROKEN, "broken")
