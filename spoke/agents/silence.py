"""Whether an agent that works says nothing, since when, and what it was doing then. Pure.

Silence is a fact, not a verdict: a model may think for long, a tool may run for long. Only a bound
that its spawn asked for ends it, and a tool that runs is no silence of its model. Times are
monotonic milliseconds (a machine that slept has not waited); what is told has those of the clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from protocol.failure import Failure, FailureKind
from spoke.agents.effects import Tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Body = Mapping[str, object]

Doing = Literal["start", "model", "tool", "provider"]

_COUNTED: Final = frozenset({"busy", "rate_limited"})  # else nobody waits for a word of it
_WHILE: Final[Mapping[Doing, str]] = {
    "start": "while it started",
    "model": "while it waited for its model",
    "tool": "while a tool ran",
    "provider": "while its provider made it wait",
}


class Bounds(NamedTuple):
    """``told_ms``: of silence that is told; 0: none is. ``most_ms``: that it may last."""

    told_ms: int = 0
    most_ms: int | None = None


class Moment(NamedTuple):
    """The same moment on both clocks; ``clock`` in ms since 1970."""

    now: int
    clock: int

    def clock_at(self, at: int) -> int:
        return self.clock - (self.now - at)


class Tool(NamedTuple):
    title: str
    since: int


class Silence:
    """Told of each sign of life, and of each record of what the agent means."""

    def __init__(self, bounds: Bounds) -> None:
        most = bounds.most_ms
        soon = bounds.told_ms if most is None else min(bounds.told_ms, most // 2)
        self._told_ms = soon if bounds.told_ms else None
        self._most_ms = most
        self._activity = ""
        self._doing: Doing = "start"
        self._since = 0
        self._excused = 0  # until then its provider has said that it will wait
        self._tools: dict[str, Tool] = {}
        self._is_told = False

    @property
    def due(self) -> int | None:
        """When `look` is to be called, or `is_over` will hold."""
        if self._activity not in _COUNTED:
            return None
        told = None if self._is_told or self._told_ms is None else self._since + self._told_ms
        dues = [due for due in (told, self.ends_at) if due is not None]
        return min(dues, default=None)

    @property
    def ends_at(self) -> int | None:
        """When its silence has lasted as long as it may."""
        is_counted = self._activity in _COUNTED and not self._tools
        return self._since + self._most_ms if is_counted and self._most_ms is not None else None

    def heard(self, at: Moment) -> Sequence[Tell]:
        """It said something, whatever it was."""
        told = self._end(at)
        self._since = max(at.now, self._excused)
        return told

    def note(self, body: Body, at: Moment) -> Sequence[Tell]:
        """A record of its conversation."""
        match body:
            case {"event": "activity", "activity": str(activity)}:
                return self._be(activity, body, at)
            case {"event": "tool", "state": "started", "id": str(id), "title": str(title)}:
                self._tools.setdefault(id, Tool(title, at.now))
            case {"event": "tool", "state": "ended", "id": str(id)}:
                self._tools.pop(id, None)
            case {"event": "opened"}:
                self._doing = "model"
            case {"event": "turnEnded"}:
                self._tools.clear()
            case _:
                pass
        return []

    def look(self, at: Moment) -> Sequence[Tell]:
        """Tell of silence that has lasted; once."""
        if self._is_told or self._told_ms is None or self._activity not in _COUNTED:
            return []
        if at.now < self._since + self._told_ms:
            return []
        self._is_told = True
        said: dict[str, object] = {"event": "silent", "since": at.clock_at(self._since)}
        said["doing"] = self._now()
        if self._tools:
            tool = next(iter(self._tools.values()))
            said |= {"what": tool.title, "toolSince": at.clock_at(tool.since)}
        ends_at = self.ends_at
        return [Tell(said if ends_at is None else {**said, "endsAt": at.clock_at(ends_at)})]

    def over(self, now: int) -> Failure | None:
        """Why its turn is to be ended, where it has said nothing for longer than it may."""
        ends_at = self.ends_at
        if ends_at is None or self._most_ms is None or now < ends_at:
            return None
        text = f"it said nothing for {_span(self._most_ms)}, {_WHILE[self._now()]}"
        return Failure(FailureKind.SDK_ERROR, text)

    def _be(self, activity: str, body: Body, at: Moment) -> Sequence[Tell]:
        told = self._end(at)
        self._activity = activity
        until = body.get("until") if activity == "rate_limited" else None
        self._excused = at.now + until - at.clock if isinstance(until, int) else 0
        self._since = max(at.now, self._excused)
        return told

    def _end(self, at: Moment) -> Sequence[Tell]:
        if not self._is_told:
            return []
        self._is_told = False
        return [Tell({"event": "heard", "after": at.now - self._since})]

    def _now(self) -> Doing:
        if self._tools:
            return "tool"
        return "provider" if self._activity == "rate_limited" else self._doing


def _span(ms: int) -> str:
    if ms < 120_000:
        return f"{ms / 1_000:g} s"
    return f"{ms / 60_000:g} min" if ms < 7_200_000 else f"{ms / 3_600_000:g} h"
