"""What the agent asks whether it may: decided by rule at once, or open until answered or overdue.

Pure. Each decision is told, with who made it and by which rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from spoke.agents.effects import Effect, Tell, Write
from spoke.core.permitting import Request, Verdict, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from protocol.permissions import Answer, Layer
    from spoke.agents.tongue import Asked, Tongue

MAX_CHARS: Final = 2_000  #: of what is asked, and of why it was denied
_NOTE_CHARS: Final = 400
_MAX_PATHS: Final = 50
_MAX_TOLD: Final = 50  #: then who tries and tries again is left to end its turn


class Open(NamedTuple):
    asked: Asked
    verdict: Verdict
    told: Mapping[str, object]  #: the question, as it is told
    until: int  #: ms since 1970


class Terms(NamedTuple):
    """``place``: a path that an agent named, relative to its worktree where it is in it, else
    absolute. ``asked``: how many questions there were before.
    """

    layers: Sequence[Layer] = ()
    place: Callable[[str], str] = str
    asked: int = 0


class Questions:
    """``denied`` is the last thing that was not allowed."""

    def __init__(self, tongue: Tongue, terms: Terms) -> None:
        self._tongue = tongue
        self._terms = terms
        self._last = terms.asked
        self._open: dict[int, Open] = {}
        self._unheard: list[str] = []
        self._told_why = 0
        self.denied: str | None = None

    @property
    def due(self) -> int | None:
        """When the next one is overdue, in ms since 1970."""
        return min((one.until for one in self._open.values()), default=None)

    @property
    def first(self) -> tuple[int, str, int] | None:
        """Of the open ones: number, what it is in a line, until when."""
        if not self._open:
            return None
        number = min(self._open)
        told = self._open[number].told
        return number, f"{told['tool']}: {told['what']}"[:_NOTE_CHARS], self._open[number].until

    def unheard(self) -> list[str]:
        """Why it was not allowed something, where it could not be told with the answer; once."""
        unheard, self._unheard = self._unheard, []
        return unheard

    def ask(self, asked: Asked, now: int) -> list[Effect]:
        paths = [self._terms.place(path) for path in asked.paths]
        verdict = decide(self._terms.layers, Request(asked.kind, asked.tool, asked.what, paths))
        told: dict[str, object] = {
            "tool": asked.kind if asked.kind != "other" else asked.tool,
            "what": asked.what[:MAX_CHARS],
            "rule": verdict.rule,
        }
        if paths:
            told["paths"] = paths[:_MAX_PATHS]
        if verdict.decision != "ask":
            return self._settle(asked, verdict.decision, told, {"by": "rule"})
        self._last += 1
        until = now + verdict.within_ms
        told = {"question": self._last, **told}
        self._open[self._last] = Open(asked, verdict, told, until)
        body = {**told, "until": until, "unanswered": verdict.unanswered}
        return [Tell({"event": "asked", **body})]

    def answer(self, number: int, decision: Answer, by: str, message: str) -> list[Effect]:
        """Nothing, when it is not open (any more)."""
        one = self._open.pop(number, None)
        if one is None:
            return []
        said = {"by": by, **({"message": message[:MAX_CHARS]} if message else {})}
        return self._settle(one.asked, decision, one.told, said)

    def expire(self, now: int) -> list[Effect]:
        effects: list[Effect] = []
        for number, one in list(self._open.items()):
            if one.until <= now:
                del self._open[number]
                by = {"by": "deadline"}
                effects += self._settle(one.asked, one.verdict.unanswered, one.told, by)
        return effects

    def drop(self, id: str | None = None) -> list[Effect]:
        """The agent took it back; without an id, its turn is over, and it took all back."""
        effects: list[Effect] = []
        for number, one in list(self._open.items()):
            if id is None or one.asked.id == id:
                del self._open[number]
                body = {**one.told, "decision": "withdrawn", "by": "agent"}
                effects.append(Tell({"event": "decided", **body}))
        return effects

    def cancel(self) -> list[Effect]:
        """Its turn is to end: it is told so of all that it asks."""
        ids = [one.asked.id for one in self._open.values()]
        lines = [line for id in ids for line in self._tongue.answer(id, "cancel", "It is over.")]
        return [*(Write(line) for line in lines), *self.drop()]

    def _settle(
        self, asked: Asked, decision: Answer, told: Mapping[str, object], said: Mapping[str, str]
    ) -> list[Effect]:
        why = ""
        if decision == "deny":
            self.denied = asked.what
            why = said.get("message") or f"This is not allowed here ({_because(told, said)})."
            self._note_why(asked, why, by_person="message" in said)
        writes = [Write(line) for line in self._tongue.answer(asked.id, decision, why)]
        if not self._terms.layers:
            return list(writes)
        return [*writes, Tell({"event": "decided", **told, "decision": decision, **said})]

    def _note_why(self, asked: Asked, why: str, *, by_person: bool) -> None:
        after = self._tongue.after_denial
        if after == "stops" or (after == "goes on" and by_person):
            self._told_why += 1
            if self._told_why <= _MAX_TOLD:
                self._unheard.append(f"You were not allowed `{asked.what[:_NOTE_CHARS]}`: {why}")


def _because(told: Mapping[str, object], said: Mapping[str, str]) -> str:
    match said["by"]:
        case "rule":
            return f"rule: {told['rule']}"
        case "deadline":
            return "nobody has answered in time"
        case _:
            return "somebody was asked and said no"
