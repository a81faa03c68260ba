"""One attempt from its first record to its last: the only file that knows all the others."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, cast

from spoke.spool import Kind
from spoke.supervisor import agent, holding, ladder, tree
from spoke.supervisor.assignment import encode, write_first
from spoke.supervisor.book import Book
from spoke.supervisor.door import Door
from spoke.supervisor.fence import FENCED, LOOK_SECONDS, Fence
from spoke.supervisor.ladder import Cause, Ladder, Times
from spoke.supervisor.mailbox import Mailbox
from spoke.supervisor.output import Stream
from spoke.supervisor.reaper import Reaper
from spoke.supervisor.verdict import Ending, Stop, never_started, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from spoke.supervisor.assignment import Assignment, Exit, Outcome
    from spoke.supervisor.conversation import Conversation
    from spoke.supervisor.cradle import Cradle
    from spoke.supervisor.door import Answer, Request

_STOP_OUTCOMES = ("aborted", "blocked")
_CANCEL_MS = 3_000  # in which an agent with turns may end its own, before the ladder
_HUSH_MS = 25  # after a stop: who ends within it has all of that told at once, end included
_SHARE_MS = 2  # of a core: what it takes to end another agent that is stopped in the same moment
_REST_MS = 250  # at most


class Attempt:
    """Starts the agent when made. Raises ``SpawnFailed`` (and has recorded it), or ``OSError``."""

    def __init__(self, assignment: Assignment, cradle: Cradle) -> None:
        self._folder = assignment["dir"]
        times = assignment["ladder"]
        self._times = Times(times["termMs"], times["killMs"], times["sweepMs"])
        self._ladder = self._acted = Ladder()
        self._began: int | None = None  # clock ticks at the first sweep of this phase
        self._sweep_at: int | None = None
        self._stop: Stop | None = None
        terms = assignment.get("fence")
        self._fence = Fence(terms["path"], terms["ms"]) if terms else None
        self._climb_at: int | None = None
        self._hush_until: int | None = None
        self._rest_until = 0
        self._stored_ms = assignment["storedMs"]
        self._is_over = self._is_stored = False

        # Whom a later daemon looks for, and what it ends if we are gone. One that waited in vain
        # has taken the name: to it, and so to the hub, this attempt has ended.
        write_first(f"{self._folder}/supervisor.json", cradle.identity)
        self._book = Book(self._folder, assignment["spoolLimit"])
        self._spool = self._book.spool
        self._spool.append([(Kind.STARTING, encode(assignment["starting"]))])
        self._selector = cradle.selector
        word = assignment.get("word", "")
        doorway = cradle.doorway_at(assignment["socket"])
        self._door = Door(doorway, self._selector, self._on_request, word)
        self._agent = self._start_agent(assignment, cradle)
        self._reaper = Reaper(self._agent.leader)
        self._mailbox = Mailbox(self._selector, self._book.note, self._agent.stdin)
        self._conversation = self._converse(assignment)
        talk = self._conversation
        outputs = (
            (self._agent.stdout, Kind.STDOUT, talk.hear if talk else None),
            (self._agent.stderr, Kind.STDERR, talk.sense if talk else None),
        )
        self._streams = [Stream(self._selector, self._spool, *output) for output in outputs]
        if assignment["greeting"]:
            self._mailbox.greet(assignment["greeting"], then_close=assignment["stdin"] == "closed")

    @property
    def leader(self) -> tree.Process:
        return self._agent.leader

    def run(self) -> None:
        """Until nothing of the agent is left, and that is written down."""
        self._book.sync()  # not before the agent began: that it may run is durable in the journal
        if self._conversation is not None:
            self._conversation.open(_now_ms())
        self._settle()
        while self._ladder.phase not in ladder.ENDS:
            pause = self._pause()  # may write something down
            self._tell()
            self._door.flush()
            for key, mask in self._selector.select(pause):
                key.data(mask)
            self._settle()
        self._finish()

    def _tell(self) -> None:
        """How far the spool goes. Each time costs the hub a commit that the next one waits for."""
        if self._hush_until is not None and _now_ms() < self._hush_until:
            return
        self._hush_until = None
        self._door.push(self._spool.seq)

    def _start_agent(self, assignment: Assignment, cradle: Cradle) -> agent.Agent:
        try:
            self._held = holding.enter(assignment["talk"])
            started = agent.start(assignment, cradle.unborn)
        except agent.SpawnFailed as failed:
            why, advice = (failed.reason, failed.message), failed.advice
            self._end(never_started(*why, ended_at=_unix_ms(), advice=advice))
            raise
        running = {"pid": started.leader.pid, "startTime": started.leader.start}
        self._spool.append([(Kind.RUNNING, encode(running))])
        return started

    def _converse(self, assignment: Assignment) -> Conversation | None:
        order = assignment["talk"]
        if order is None:
            return None
        from spoke.supervisor.conversation import Conversation  # others do not wait for it

        return Conversation(order, assignment["cwd"], self._mailbox, self._book.note, self._held)

    def _pause(self) -> float | None:
        """Seconds until the next look at something; None while only an event can bring news."""
        some = (self._talk_due(), self._sweep_at, self._climb_at, self._hush_until)
        dues = [due for due in some if due is not None]
        pause = max(0, min(dues) - _now_ms()) / 1000 if dues else None
        if self._fence is None:
            return pause
        return LOOK_SECONDS if pause is None else min(pause, LOOK_SECONDS)

    def _talk_due(self) -> int | None:
        if self._conversation is None or self._ladder.phase is not ladder.Phase.WATCHING:
            return None
        due = self._conversation.look(_now_ms())
        if self._conversation.gave_up and self._climb_at is None:
            self._climb_at = _now_ms() + _CANCEL_MS
        return due

    def _settle(self) -> None:
        """Look, climb, and act: once per turn."""
        self._reaper.collect()
        self._heed_fence()
        leader_lives = self._reaper.leader_status is None
        if not leader_lives:
            self._mailbox.close()
        now, left = _now_ms(), not self._reaper.is_empty
        if self._climb_at is not None and now >= self._climb_at:
            self._climb_at = None
            self._ladder = ladder.ordered(self._ladder, Cause.STOP, now)
        self._ladder = ladder.seen(self._ladder, self._times, now, leader=leader_lives, left=left)
        if self._ladder != self._acted:
            self._acted = self._ladder
            self._began = None
            self._sweep_at = now
        if self._sweep_at is not None and now >= self._sweep_at:
            if rung := ladder.RUNGS.get(self._ladder.phase):
                began = tree.ticks_now()
                self._reaper.tell(rung, self._began)
                self._began = self._began or began
            after = _now_ms()
            self._sweep_at = ladder.sweep_at(self._ladder, self._times, after, took=after - now)

    def _heed_fence(self) -> None:
        if self._fence is not None and self._fence.is_over():
            self._fence = None
            self._on_stop({"reason": FENCED, "now": True}, "aborted")

    def _on_request(self, request: Request, answer: Answer) -> None:
        if self._is_over:
            self._is_stored |= request.get("op") == "stored"
            return
        match request:
            case {"op": "message", "messageId": str(id), "text": str(text)}:
                mode = str(request.get("mode", "queue"))
                self._on_message(id, text, mode, lambda state: answer(_message_answer(state)))
            case {"op": "answer"} if self._conversation is not None:
                answer({"ok": self._conversation.answer(request)})
            case {"op": "stop", "outcome": str(outcome)} if outcome in _STOP_OUTCOMES:
                self._on_stop(request, cast("Outcome", outcome))
                answer({"ok": True, "phase": self._ladder.phase})
            case {"op": "status"}:
                answer({"ok": True, **self._status()})
            case _:
                answer({"ok": False, "reason": "BAD_REQUEST"})

    def _on_message(self, id: str, text: str, mode: str, answer: Callable[[str], None]) -> None:
        if self._conversation is None:
            self._mailbox.post(id, text, answer)
        else:
            self._conversation.say(id, text, mode, answer)

    def _on_stop(self, request: Request, outcome: Outcome) -> None:
        """The first order decides outcome and reason; a later one can only be more urgent."""
        self._reaper.collect()
        is_urgent = request.get("now") is True
        if not is_urgent and self._ends_softly():
            self._remember(request, outcome)
            return
        climbed = ladder.ordered(
            self._ladder, Cause.STOP_NOW if is_urgent else Cause.STOP, _now_ms()
        )
        if self._stop is not None and climbed == self._ladder:
            return
        self._ladder = climbed
        self._remember(request, outcome)

    def _ends_softly(self) -> bool:
        """An agent with turns ends its own first; the ladder comes when that takes too long."""
        if self._conversation is None or self._ladder.phase is not ladder.Phase.WATCHING:
            return False
        if self._climb_at is None:
            self._climb_at = _now_ms() + _CANCEL_MS
            self._conversation.stop()
        return True

    def _remember(self, request: Request, outcome: Outcome) -> None:
        is_urgent, reason = request.get("now") is True, request.get("reason")
        if self._stop is None:
            self._hush_until = _now_ms() + _HUSH_MS
            self._rest_until = _now_ms() + _rest_ms(request.get("behind"))
            late = self._reaper.leader_status is not None
            text = reason if isinstance(reason, str) else None
            self._stop = Stop(outcome, text, _unix_ms(), late)
        note = {"stop": outcome, "reason": reason, "now": is_urgent, "by": request.get("by")}
        self._book.note(Kind.NOTED, note)

    def _status(self) -> dict[str, object]:
        return {
            "pid": self.leader.pid,
            "startTime": self.leader.start,
            "alive": self._reaper.leader_status is None,
            "phase": self._ladder.phase,
            "spool": self._spool.seq,
            "queued": self._mailbox.queued,
        }

    def _finish(self) -> None:
        ended_at = _unix_ms()
        time.sleep(max(0, self._rest_until - _now_ms()) / 1000)  # others are still to be stopped
        for stream in self._streams:
            stream.drain()
        self._held.leave()
        self._mailbox.close()
        if self._conversation is not None:
            self._conversation.close()
        reaper = self._reaper
        ending = Ending(
            reaper.leader_status,
            reaper.leader_ended_by,
            self._stop,
            reaper.told.values(),
            reaper.survivors(),
        )
        dropped = self._spool.dropped_bytes
        self._end(self._judged(verdict(ending, ended_at=ended_at, dropped_bytes=dropped)))

    def _judged(self, exit: Exit) -> Exit:
        if self._conversation is None:
            return exit
        stopped = self._stop is not None and not self._stop.late
        return self._conversation.judged(exit, stopped=stopped)

    def _end(self, ending: Exit) -> None:
        """Tell it, then make it last, then say that it does.

        Whoever is told does not wait for our disk. A daemon forgets us only after our last word.
        """
        body = cast("dict[str, object]", ending)
        self._book.note(Kind.EXITED, body)
        self._is_over = True
        self._door.push(self._spool.seq, ended=True)
        self._door.flush()
        self._door.close(over=self._hear_stored() or self._book.close(body))

    def _hear_stored(self) -> bool:
        """Whether the hub has it. Then it lasts: many disks are slow where many ends are to be
        written at once, and one commit of the hub holds them all.
        """
        until = _now_ms() + self._stored_ms
        while not self._is_stored and self._door.is_visited and (left := until - _now_ms()) > 0:
            for key, mask in self._selector.select(left / 1000):
                key.data(mask)
        return self._is_stored


def _message_answer(state: str) -> dict[str, object]:
    is_full = state == "full"
    return {"ok": False, "reason": "QUEUE_FULL"} if is_full else {"ok": True, "state": state}


def _rest_ms(behind: object) -> int:
    """How long the machine is busy with the ends of so many others: they are to be stopped before
    anything is written of this one."""
    cores = os.cpu_count() or 1
    return min(_REST_MS, behind * _SHARE_MS // cores) if isinstance(behind, int) else 0


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
