"""What an agent asks whether it may: decided by rule, answered, overdue, or taken back."""

from __future__ import annotations

from collections.abc import Sequence

from protocol import permissions
from spoke.agents.effects import Tell, Write
from spoke.agents.questions import MAX_CHARS, Terms
from spoke.agents.talk import Stage, Talk
from spoke.agents.tongue import AfterDenial, Asked, Event, Ready, Text, TurnEnded, Withdrawn
from tests.unit.test_talk import Plain

PUSH = Asked("q1", "run", "Bash", "git push")
OTHER = Asked("q2", "run", "Bash", "git fetch")
WAITS = {"event": "activity", "activity": "waiting", "note": "asks run: git push", "until": 1_005}


class Floor:
    """A talk whose agent works, held by rules."""

    def __init__(
        self, *rules: str, default: str = "ask", unanswered: str = "deny", asked: int = 0,
        after_denial: AfterDenial = "hears", held: bool = True,
    ) -> None:  # fmt: skip
        said = {"rules": rules, "default": default, "answerWithinMs": 1_000}
        layers = permissions.layers([{**said, "unanswered": unanswered}]) if held else []
        self.tongue = Plain(after_denial=after_denial)
        terms = Terms(layers, lambda path: path.removeprefix("/w/"), asked)
        self.talk = Talk(self.tongue, "task", lingers=True, terms=terms)
        self.talk.open()
        self.means(Ready("conversation"))

    def means(self, *events: Event, now: int = 5) -> list[object]:
        self.tongue.means = events
        return shown(self.talk.hear("line", now))


def shown(effects: Sequence[object]) -> list[object]:
    """Lines as they are, records as their bodies."""
    return [
        effect.line if isinstance(effect, Write) else dict(effect.body)
        for effect in effects
        if isinstance(effect, Write | Tell)
    ]


def test_without_rules_it_may_and_nobody_is_told() -> None:
    assert Floor(held=False).means(PUSH) == ["allow q1"]


def test_a_rule_decides_at_once_and_that_is_told() -> None:
    on = Floor("allow run(git fetch)", "deny run(git push)")
    told = {"tool": "run", "what": "git fetch", "rule": "allow run(git fetch)"}
    assert on.means(OTHER) == [
        "allow q2", {"event": "decided", **told, "decision": "allow", "by": "rule"},
    ]  # fmt: skip
    assert on.talk.denied is None
    line, told = on.means(PUSH)
    assert line == "deny q1 This is not allowed here (rule: deny run(git push))."
    assert told == {
        "event": "decided", "tool": "run", "what": "git push", "rule": "deny run(git push)",
        "decision": "deny", "by": "rule",
    }  # fmt: skip
    assert on.talk.denied == "git push"


def test_who_asks_waits_and_is_answered_once() -> None:
    on = Floor(asked=6)
    question = {"question": 7, "tool": "run", "what": "git push", "rule": "default"}
    assert on.means(PUSH) == [
        {"event": "asked", **question, "until": 1_005, "unanswered": "deny"},
        {**WAITS, "question": 7},
    ]
    assert on.means(Text("meanwhile")) == [{"event": "text", "text": "meanwhile"}]
    assert on.talk.due == 1_005
    assert shown(on.talk.answer(7, "allow", "operator:ann", "")) == [
        "allow q1",
        {"event": "decided", **question, "decision": "allow", "by": "operator:ann"},
        {"event": "activity", "activity": "busy"},
    ]
    assert on.talk.answer(7, "deny", "operator:bob", "no") == []
    assert on.talk.due is None


def test_the_default_holds_at_the_deadline_and_not_before() -> None:
    for unanswered, line in (
        ("deny", "deny q1 This is not allowed here (nobody has answered in time)."),
        ("allow", "allow q1"),
    ):
        on = Floor(unanswered=unanswered)
        on.means(PUSH)
        assert on.talk.expire(1_004) == []
        wrote, decided, busy = shown(on.talk.expire(1_005))
        assert wrote == line
        assert isinstance(decided, dict)
        assert (decided["decision"], decided["by"]) == (unanswered, "deadline")
        assert busy == {"event": "activity", "activity": "busy"}
        assert on.talk.answer(1, "allow", "operator:ann", "") == []


def test_of_several_the_first_is_shown_until_all_have_their_answers() -> None:
    on = Floor()
    on.means(PUSH)
    (asked,) = on.means(OTHER, now=9)
    assert isinstance(asked, dict)
    assert (asked["question"], asked["until"]) == (2, 1_009)
    *_, waits = shown(on.talk.answer(1, "deny", "operator:ann", "not on a Friday"))
    assert isinstance(waits, dict)
    assert (waits["activity"], waits["question"]) == ("waiting", 2)
    *_, busy = shown(on.talk.answer(2, "allow", "operator:ann", ""))
    assert busy == {"event": "activity", "activity": "busy"}
    assert on.talk.denied == "git push"


def test_what_the_agent_takes_back_is_nobodys_to_answer() -> None:
    on = Floor()
    on.means(PUSH, OTHER)
    decided, waits = on.means(Withdrawn("q1"))
    assert isinstance(decided, dict)
    assert (decided["decision"], decided["by"]) == ("withdrawn", "agent")
    assert isinstance(waits, dict)
    assert waits["question"] == 2
    assert on.talk.answer(1, "allow", "operator:ann", "") == []
    ended = on.means(TurnEnded("completed"))
    assert [one["event"] for one in ended if isinstance(one, dict)][:2] == ["decided", "turnEnded"]
    assert on.talk.due is None
    assert on.talk.stage is Stage.IDLE


def test_an_interrupt_ends_what_is_asked() -> None:
    on = Floor()
    on.means(PUSH)
    _, effects = on.talk.say("m1", "rather", "interrupt")
    cancel, line, decided = shown(effects)
    assert (cancel, line) == ("cancel", "cancel q1 It is over.")
    assert isinstance(decided, dict)
    assert decided["decision"] == "withdrawn"


def test_paths_are_looked_at_where_they_really_are_and_only_so_much_is_told() -> None:
    on = Floor("deny edit(secrets/**)", default="allow")
    edit = Asked("q3", "edit", "Write", "x" * (MAX_CHARS + 1), ("/w/secrets/key",))
    _, decided = on.means(edit)
    assert isinstance(decided, dict)
    assert decided["paths"] == ["secrets/key"]
    assert decided["decision"] == "deny"
    assert len(str(decided["what"])) == MAX_CHARS
    _, decided = on.means(Asked("q4", "other", "mcp__x", "title"))
    assert isinstance(decided, dict)
    assert decided["tool"] == "mcp__x"


def test_who_cannot_hear_why_is_told_after_its_turn() -> None:
    on = Floor(after_denial="stops", default="deny")
    on.means(PUSH)
    *_, begin, said = on.means(TurnEnded("completed"))
    assert begin == "begin"
    assert said == (
        "prompt You were not allowed `git push`: This is not allowed here (rule: default)."
    )


def test_who_goes_on_is_told_only_what_a_person_said() -> None:
    on = Floor("deny run(git fetch)", after_denial="goes on")
    on.means(OTHER, PUSH)
    on.talk.answer(1, "deny", "operator:ann", "Use the staging one")
    *_, said = on.means(TurnEnded("completed"))
    assert said == "prompt You were not allowed `git push`: Use the staging one"


def test_who_tries_again_and_again_is_left_to_end() -> None:
    on = Floor(after_denial="stops", default="deny")
    for _ in range(60):
        on.means(PUSH)
        on.means(TurnEnded("completed"))
    assert on.talk.stage is Stage.IDLE


def test_a_no_without_a_word_is_told_as_one() -> None:
    on = Floor()
    on.means(PUSH)
    line, *_ = shown(on.talk.answer(1, "deny", "operator:ann", ""))
    assert line == "deny q1 This is not allowed here (somebody was asked and said no)."
