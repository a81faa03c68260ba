"""One conversation, whatever the tongue: who may speak when, and what is kept of what was said.

Pure: the supervisor tells it what it heard and when, and carries out what comes back. Only an idle
agent is prompted, except by who asks to steer; a turn is only ended by who asks to interrupt.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from protocol.failure import Failure, FailureKind, Signal, classify
from spoke.agents.effects import Effect, Hangup, Tell, Write
from spoke.agents.guard import Guard
from spoke.agents.meter import Meter
from spoke.agents.questions import Questions, Terms
from spoke.agents.tongue import (
    Accepted,
    Asked,
    Compacted,
    Denied,
    Event,
    GoesOn,
    Held,
    Ready,
    Reply,
    Text,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    Usage,
    Withdrawn,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocol.permissions import Answer
    from spoke.agents.tongue import Tongue

MAX_QUEUED = 1_000
_TEXT_CHARS = 60_000
_TITLE_CHARS = 500


class Said(NamedTuple):
    """What is to be said to it. ``id`` empty: by the order itself, of which nobody is told."""

    id: str
    text: str
    mode: str


class Stage(StrEnum):
    OPENING = "opening"
    IDLE = "idle"
    BUSY = "busy"
    CANCELLING = "cancelling"
    OVER = "over"


class Talk:
    """``lingers``: an idle agent is kept, until somebody says `hang_up`."""

    def __init__(
        self, tongue: Tongue, first: str | None, *, lingers: bool, terms: Terms | None = None
    ) -> None:
        self._tongue = tongue
        self._questions = Questions(tongue, terms or Terms())
        self._lingers = lingers
        self._queue: deque[Said] = deque([Said("", first, "queue")] if first is not None else [])
        self._known: set[str] = set()
        self._activity: Mapping[str, object] = {}
        self._meter = Meter()
        self._guard = Guard()
        self.stage = Stage.OPENING
        self.turns = 0
        self.failure: Failure | None = None  #: of the last turn
        self._denied: str | None = None

    @property
    def denied(self) -> str | None:
        """The last thing that it was not allowed."""
        return self._questions.denied or self._denied

    @property
    def due(self) -> int | None:
        """When `expire` is to be called, in ms since 1970."""
        return self._questions.due

    @property
    def waiting(self) -> Sequence[str]:
        """The messages that were taken and not yet said."""
        return [said.id for said in self._queue if said.id]

    def open(self) -> list[Effect]:
        return [*self._writes(self._tongue.open()), *self._be("busy", "it is starting")]

    def say(self, id: str, text: str, mode: str) -> tuple[str, list[Effect]]:
        """queued (or under way), duplicate, full or closed; and what comes of it."""
        if id in self._known:
            return "duplicate", []
        if self.stage is Stage.OVER:
            return "closed", []
        if len(self._queue) >= MAX_QUEUED:
            return "full", []
        self._known.add(id)
        return "queued", self._take(Said(id, text, mode))

    def hear(self, line: str, now: int) -> list[Effect]:
        effects: list[Effect] = []
        for event in self._guard.watch(self._tongue.read(line, now)):
            effects += self._on(event, now)
        if self._guard.found is not None and self.stage is Stage.BUSY:
            effects += self._cancel()
        return effects

    def answer(self, question: int, decision: Answer, by: str, message: str) -> list[Effect]:
        """Somebody decided; nothing comes of it when that was decided before."""
        effects = self._questions.answer(question, decision, by, message)
        return self._settled(effects) if effects else []

    def expire(self, now: int) -> list[Effect]:
        """Nobody has answered in time."""
        effects = self._questions.expire(now)
        return self._settled(effects) if effects else []

    def hang_up(self) -> list[Effect]:
        """End it; a turn that runs is ended first, the way the agent likes best."""
        self._lingers = False
        self._queue.clear()
        match self.stage:
            case Stage.BUSY:
                return self._cancel()
            case Stage.OPENING | Stage.IDLE:
                return self._over()
            case _:
                return []

    def give_up(self, why: Failure) -> list[Effect]:
        """End the turn that runs as one that failed; if it does not end, that is why as well. What
        is over has not failed by that."""
        if self.stage is Stage.OVER:
            return []
        self.failure = why
        self._guard.found = why
        match self.stage:
            case Stage.BUSY:
                return self._cancel()
            case Stage.OPENING:
                return self._over()
            case _:
                return []

    def usage(self) -> Mapping[str, object]:
        return self._meter.total()

    def _take(self, said: Said) -> list[Effect]:
        is_busy = self.stage in (Stage.BUSY, Stage.CANCELLING)
        if said.mode == "steer" and self.stage is Stage.BUSY:
            lines = self._tongue.steer(said.text, said.id)
            if lines:
                return self._writes(lines, said)
        if said.mode == "interrupt" and is_busy:
            self._queue.appendleft(said)
            return self._cancel()
        self._queue.append(said._replace(mode="queue"))
        return self._next() if self.stage is Stage.IDLE else []

    def _cancel(self) -> list[Effect]:
        if self.stage is Stage.CANCELLING:
            return []
        self.stage = Stage.CANCELLING
        return [*self._writes(self._tongue.cancel()), *self._questions.cancel()]

    def _next(self) -> list[Effect]:
        """Nobody speaks: whose turn is it?"""
        if self._queue:
            said = self._queue.popleft()
            self.stage = Stage.BUSY
            self.failure = None
            lines = self._tongue.prompt(said.text, said.id)
            return [*self._writes(lines, said), *self._be("busy")]
        return self._be("idle") if self._lingers else self._over()

    def _over(self) -> list[Effect]:
        self.stage = Stage.OVER
        return [Hangup()]

    def _writes(self, lines: Sequence[str], said: Said | None = None) -> list[Effect]:
        writes = [Write(line) for line in lines]
        if said is not None and said.id and writes:
            writes[-1] = Write(writes[-1].line, said.id, said.mode)
        return list(writes)

    def _on(self, event: Event, now: int) -> list[Effect]:
        match event:
            case Asked() | Withdrawn() | GoesOn():
                return self._settled(self._asked(event, now))
            case Reply(line):
                return [Write(line)]
            case Ready(session_id, version):
                self.stage = Stage.IDLE
                body = {"event": "opened", "agentSessionId": session_id, "version": version}
                return [Tell(body), *self._next()]
            case TurnEnded():
                return self._turn_ended(event)
            case Held(reason, until):
                return self._be("rate_limited", reason, until)
            case Usage():
                return [Tell(body) for body in self._meter.add(event)]
            case Denied(what):
                self._denied = what
                return [Tell({"event": "denied", "what": what[:_TITLE_CHARS]})]
            case Accepted(message_id):
                return [Tell({"event": "accepted", "messageId": message_id})] if message_id else []
            case _:
                return [*self._settled([]), Tell(_seen(event))]

    def _asked(self, event: Asked | Withdrawn | GoesOn, now: int) -> Sequence[Effect]:
        match event:
            case Asked():
                return self._questions.ask(event, now)
            case Withdrawn(id):
                return self._questions.drop(id)
            case _:
                return []

    def _settled(self, effects: Sequence[Effect]) -> list[Effect]:
        """And what it does now: it works, or it waits for an answer."""
        self._queue += [Said("", why, "queue") for why in self._questions.unheard()]
        first = self._questions.first
        if self.stage is not Stage.BUSY:
            return list(effects)
        if first is None:
            return [*effects, *self._be("busy")]
        return [*effects, *self._be("waiting", f"asks {first[1]}", first[2], first[0])]

    def _turn_ended(self, event: TurnEnded) -> list[Effect]:
        """A failed turn ends the conversation: what waits would only fail as well."""
        if self.stage is Stage.OVER:
            return []
        self.turns += 1
        self.stage = Stage.IDLE
        taken_back = self._questions.drop()
        self.failure = event.failure
        body: dict[str, object] = {"event": "turnEnded", "outcome": event.outcome}
        if used := self._meter.turn():
            body["usage"] = used
        if event.failure is None:
            return [*taken_back, Tell(body), *self._next()]
        return [*taken_back, Tell({**body, "failure": event.failure.body()}), *self._over()]

    def _be(
        self, activity: str, note: str = "", until: int | None = None, question: int | None = None
    ) -> list[Effect]:
        """Tell what it does, when that has changed."""
        now: dict[str, object] = {"activity": activity}
        if note:
            now["note"] = note[:_TITLE_CHARS]
        if until is not None:
            now["until"] = until
        if question is not None:
            now["question"] = question
        if now == self._activity:
            return []
        self._activity = now
        return [Tell({"event": "activity", **now})]


def judge(talk: Talk, *, ended: str, moved: bool | None) -> tuple[str, Failure | None, str | None]:
    """Outcome, failure and what to say of it, once the agent is gone and no stop was ordered.

    ``ended`` is how its process ended, in words; ``moved`` whether the branch has a new commit
    (None: that could not be seen). Neither an exit code nor the word of the agent is enough.
    """
    if talk.failure is not None:
        return "failed", talk.failure, talk.failure.message
    if talk.stage is not Stage.OVER or talk.turns == 0:
        failure = classify(Signal("error_during_execution", None, f"the agent ended: {ended}"))
        return "failed", failure, failure.message
    if moved is False and talk.denied is not None:
        text = f"it committed nothing, and was not allowed: {talk.denied}"
        return "failed", Failure(FailureKind.TOOL_DENIED, text[:_TITLE_CHARS]), text
    return "completed", None, "it committed nothing" if moved is False else None


def _seen(event: Compacted | Text | ToolStarted | ToolEnded) -> Mapping[str, object]:
    match event:
        case Compacted():
            return {"event": "compacted"}
        case Text(text):
            return {"event": "text", "text": text[:_TEXT_CHARS]}
        case ToolStarted(id, title):
            return {"event": "tool", "id": id, "state": "started", "title": title[:_TITLE_CHARS]}
        case _:
            id, ok, note = event
            said = {"event": "tool", "id": id, "state": "ended", "ok": ok}
            return {**said, "title": note[:_TITLE_CHARS]} if note else said
