"""Has a conversation with the agent: carries out what `spoke.agents.talk` decides."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from protocol.permissions import layers
from spoke.agents.effects import Hangup, Tell, Write
from spoke.agents.questions import Terms
from spoke.agents.silence import Bounds, Moment, Silence
from spoke.agents.talk import Stage, Talk, judge
from spoke.agents.tongue import Start
from spoke.agents.tongues import tongue
from spoke.spool import Kind
from spoke.supervisor.head import commit_of
from spoke.supervisor.places import placer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from protocol.permissions import Answer
    from spoke.agents.effects import Effect
    from spoke.supervisor.assignment import Exit, Outcome, TalkOrder
    from spoke.supervisor.holding import Conversations
    from spoke.supervisor.mailbox import Mailbox

    Note = Callable[[Kind, Mapping[str, object]], None]

_MINUTE_MS = 60_000
_LINE_BYTES = 64 * 1024 * 1024  # a longer line is not one of an agent's protocol


class Conversation:
    def __init__(
        self, order: TalkOrder, cwd: str, mailbox: Mailbox, note: Note, held: Conversations
    ) -> None:
        allowed = layers(order["permissions"])
        start = Start(
            cwd, order["agentSessionId"], order["resume"], asks=bool(allowed),
            model=order["model"], instructions=order["instructions"],
        )  # fmt: skip
        self._talk = Talk(
            tongue(order["tongue"], start),
            order["first"],
            lingers=order["lingerMs"] > 0,
            terms=Terms(allowed, placer(cwd), order["asked"]),
        )
        self._order = order
        self._cwd = cwd
        self._mailbox = mailbox
        self._note = note
        self._held = held
        self._silence = Silence(Bounds(order["quietMs"], order["maxSilenceMs"]))
        self.gave_up = False  #: it has said nothing for longer than it may
        self._rest = b""
        self._idle_since: int | None = None
        self._opens_at: int | None = None

    def open(self, now: int) -> None:
        """Begin it, or have `look` begin it when its time has come; ``now`` as there."""
        if self._order["resume"] and self._order["minuteApart"]:
            self._opens_at = now + _MINUTE_MS - time.time_ns() // 1_000_000 % _MINUTE_MS
        else:
            self._carry_out(self._talk.open())

    def hear(self, chunk: bytes) -> None:
        """A piece of the agent's stdout."""
        self.sense()
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LINE_BYTES:
            self._rest = b""
        now = time.time_ns() // 1_000_000
        for line in lines:
            self._carry_out(self._talk.hear(line.decode("utf-8", "replace"), now))

    def sense(self, _chunk: bytes = b"") -> None:
        """A sign of life, whatever it means: a piece of the agent's stderr, say."""
        self._carry_out(self._silence.heard(_moment()))

    def say(self, id: str, text: str, mode: str, answer: Callable[[str], None]) -> None:
        """Answers queued, duplicate, closed or full; what came of it is told in the spool."""
        state, effects = self._talk.say(id, text, mode)
        if state == "closed":
            self._refuse([id])
        answer(state)
        self._carry_out(effects)

    def answer(self, request: Mapping[str, object]) -> bool:
        """Whether it is an answer. Of what was decided before nothing comes; else it is told."""
        match request:
            case {
                "question": int(question),
                "decision": "allow" | "deny",
                "by": str(by),
                "message": str(message),
            }:
                decision: Answer = "allow" if request["decision"] == "allow" else "deny"
                self._carry_out(self._talk.answer(question, decision, by, message))
                return True
            case _:
                return False

    def stop(self) -> None:
        """End the turn that runs, then the conversation."""
        self._opens_at = None
        self._carry_out(self._talk.hang_up())

    def look(self, now: int) -> int | None:
        """Do what is due; when to look again (monotonic ms), where that is known."""
        if self._opens_at is not None:
            if now < self._opens_at:
                return self._opens_at
            self._opens_at = None
            self._carry_out(self._talk.open())
        if self._talk.stage is not Stage.IDLE:
            self._idle_since = None
            dues = (self._expire(now), self._listen(now))
            return min((due for due in dues if due is not None), default=None)
        self._idle_since = self._idle_since or now
        due = self._idle_since + self._order["lingerMs"]
        if now >= due:
            self.stop()
            return None
        return due

    def _expire(self, now: int) -> int | None:
        """Decide what nobody has answered in time; when the next is due."""
        clock = time.time_ns() // 1_000_000
        self._carry_out(self._talk.expire(clock))
        due = self._talk.due
        return None if due is None else now + due - clock

    def _listen(self, now: int) -> int | None:
        """Tell of its silence, and end what has been silent for too long; when the next is due."""
        if self.gave_up:
            return None
        is_over = self._talk.stage is Stage.OVER  # it is only to go, and may need to be made to
        if not is_over:
            self._carry_out(self._silence.look(_moment()))
        why = self._silence.over(now)
        if why is None:
            return self._silence.ends_at if is_over else self._silence.due
        self.gave_up = True
        self._carry_out(self._talk.give_up(why))
        return None

    def close(self) -> None:
        """The agent is gone: what waited for its turn will not arrive."""
        self._refuse(self._talk.waiting)

    def judged(self, exit: Exit, *, stopped: bool) -> Exit:
        """The end of an attempt, with what its work shows of it where nobody stopped it."""
        said: Exit = {**exit, "usage": self._talk.usage()}
        if stopped:
            return said
        head = commit_of(self._cwd)
        moved = None if head is None else head != self._order["base"]
        ended = exit["signal"] or f"exit code {exit['exitCode']}"
        outcome, failure, message = judge(self._talk, ended=ended, moved=moved)
        said["outcome"] = cast("Outcome", outcome)
        said["message"] = message
        said["committed"] = moved
        said["reason"] = message if failure is None else str(failure.kind)
        if failure is not None:
            said["failure"] = failure.body()
            said["advice"] = failure.advice
        return said

    def _refuse(self, ids: Sequence[str]) -> None:
        why = "the conversation with its agent is over"
        for id in ids:
            self._note(Kind.UNDELIVERED, {"messageId": id, "reason": why})

    def _hold(self, body: Mapping[str, object]) -> None:
        """A conversation that the agent named itself is new: nobody else is in it."""
        if body.get("event") == "opened":
            self._held.take_new(self._order["tongue"], str(body.get("agentSessionId")))

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Write(line, id, mode):
                    self._mailbox.send(line, id, mode)
                case Tell(body):
                    self._hold(body)
                    for first in self._silence.note(body, _moment()):
                        self._note(Kind.AGENT, first.body)
                    self._note(Kind.AGENT, body)
                case Hangup():
                    self._mailbox.finish()


def _moment() -> Moment:
    return Moment(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)
