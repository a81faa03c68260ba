"""An agent that works and says nothing: since when, and what it does meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from protocol.failure import FailureKind
from spoke.agents.effects import Tell
from spoke.agents.silence import Bounds, Moment, Silence

AT_1970 = 1_000_000  # of the clock, when the monotonic one is at 0
MIN = 60_000


@dataclass
class Ear:
    bounds: Bounds = field(default_factory=lambda: Bounds(2 * MIN))
    told: list[object] = field(default_factory=list[object])

    def __post_init__(self) -> None:
        self.silence = Silence(self.bounds)
        self.does(0, "busy", note="it is starting")

    def at(self, minute: float) -> Moment:
        return Moment(int(minute * MIN), AT_1970 + int(minute * MIN))

    @staticmethod
    def _new(tells: Sequence[Tell]) -> list[object]:
        return [dict(one.body) for one in tells]

    def does(self, minute: float, activity: str, **more: object) -> list[object]:
        body = {"event": "activity", "activity": activity, **more}
        return self._new(self.silence.note(body, self.at(minute)))

    def means(self, minute: float, event: str, **more: object) -> None:
        assert self.silence.note({"event": event, **more}, self.at(minute)) == []

    def hears(self, minute: float) -> list[object]:
        return self._new(self.silence.heard(self.at(minute)))

    def looks(self, minute: float) -> list[object]:
        return self._new(self.silence.look(self.at(minute)))

    def opened(self) -> Ear:
        self.means(0, "opened", agentSessionId="a")
        self.does(0, "busy")
        return self


def test_silence_is_told_once_and_so_is_its_end() -> None:
    ear = Ear().opened()
    assert ear.hears(1) == []
    assert ear.silence.due == 3 * MIN
    assert ear.looks(2.9) == []
    (said,) = ear.looks(3)
    assert said == {"event": "silent", "since": AT_1970 + MIN, "doing": "model"}
    assert ear.silence.due is None
    assert ear.looks(9) == []
    assert ear.hears(10) == [{"event": "heard", "after": 9 * MIN}]
    assert ear.hears(10) == []
    assert ear.looks(11) == []
    assert len(ear.looks(12)) == 1


def test_one_that_never_begins_is_silent_too() -> None:
    (said,) = Ear().looks(2)
    assert said == {"event": "silent", "since": AT_1970, "doing": "start"}


def test_a_tool_that_runs_is_named_with_its_own_time() -> None:
    ear = Ear().opened()
    ear.means(1, "tool", state="started", id="t1", title="npm test")
    ear.means(1, "tool", state="started", id="t2", title="ls")
    ear.means(1, "tool", state="ended", id="t2", ok=True)
    ear.means(1, "text", text="it runs")
    ear.hears(1.5)
    (said,) = ear.looks(4)
    assert said == {
        "event": "silent", "since": AT_1970 + 3 * MIN // 2, "doing": "tool", "what": "npm test",
        "toolSince": AT_1970 + MIN,
    }  # fmt: skip
    ear.hears(5)
    ear.means(5, "tool", state="ended", id="t1", ok=True)
    assert ear.looks(8) == [
        {"event": "silent", "since": AT_1970 + 5 * MIN, "doing": "model"},
    ]


def test_tools_are_over_with_their_turn() -> None:
    ear = Ear().opened()
    ear.means(1, "tool", state="started", id="t1", title="npm test")
    ear.means(1, "turnEnded", outcome="aborted")
    (said,) = ear.looks(3)
    assert said == {"event": "silent", "since": AT_1970, "doing": "model"}


def test_who_is_idle_or_waits_for_an_answer_is_not_silent() -> None:
    ear = Ear(Bounds(2 * MIN, 5 * MIN)).opened()
    for activity in ("idle", "waiting"):
        ear.does(1, activity)
        assert ear.silence.due is None
        assert ear.looks(60) == []
        assert ear.silence.over(60 * MIN) is None
    ear.does(60, "busy")
    assert ear.silence.due == 62 * MIN


def test_what_it_does_next_ends_its_silence() -> None:
    ear = Ear().opened()
    assert len(ear.looks(3)) == 1
    assert ear.does(4, "idle") == [{"event": "heard", "after": 4 * MIN}]


def test_a_wait_that_its_provider_announced_is_no_silence() -> None:
    ear = Ear(Bounds(2 * MIN, 5 * MIN)).opened()
    ear.does(1, "rate_limited", until=AT_1970 + 30 * MIN)
    ear.hears(2)
    assert ear.looks(31) == []
    assert ear.silence.over(31 * MIN) is None
    (said,) = ear.looks(32)
    assert said == {
        "event": "silent", "since": AT_1970 + 30 * MIN, "doing": "provider",
        "endsAt": AT_1970 + 35 * MIN,
    }  # fmt: skip
    ear.does(40, "rate_limited")
    ear.hears(41)
    assert len(ear.looks(43)) == 1


def test_only_a_bound_ends_it_and_a_tool_is_not_bounded() -> None:
    assert Ear().opened().silence.over(600 * MIN) is None
    ear = Ear(Bounds(2 * MIN, 20 * MIN)).opened()
    assert ear.silence.over(20 * MIN - 1) is None
    failure = ear.silence.over(20 * MIN)
    assert failure is not None
    assert failure.kind is FailureKind.SDK_ERROR
    assert failure.message == "it said nothing for 20 min, while it waited for its model"
    ear.means(1, "tool", state="started", id="t1", title="npm test")
    assert ear.silence.over(600 * MIN) is None


def test_a_short_bound_is_told_before_it_ends_it() -> None:
    ear = Ear(Bounds(2 * MIN, 10_000))
    (said,) = ear.looks(0.1)
    assert said == {
        "event": "silent", "since": AT_1970, "doing": "start", "endsAt": AT_1970 + 10_000,
    }  # fmt: skip
    failure = ear.silence.over(10_000)
    assert failure is not None
    assert failure.message == "it said nothing for 10 s, while it started"
    hours = Ear(Bounds(0, 180 * MIN)).opened()
    assert hours.looks(170) == []
    assert hours.silence.due == 180 * MIN
    said_so = hours.silence.over(180 * MIN)
    assert said_so is not None
    assert said_so.message.startswith("it said nothing for 3 h")


def test_nothing_is_told_where_that_is_not_wanted() -> None:
    ear = Ear(Bounds(0)).opened()
    assert ear.silence.due is None
    assert ear.looks(600) == []
