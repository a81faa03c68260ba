"""The life of one attempt on its spoke: what happened -> what to do.

Pure. A fact changes the life and calls for effects; what is not in `_MOVES` for the phase changes
nothing, because most facts may cross an order on their way. The spool has one writer at a time:
until a supervisor is up, and after it is gone, the daemon; so `WriteExited` is only ever asked for
where there is no supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from spoke.core.story import (
    DIED,
    REBOOTED,
    Adopted,
    AnswerOrdered,
    Attach,
    CancelWorktree,
    Effect,
    Exit,
    Fact,
    Fault,
    Forget,
    GraceOver,
    KillMarked,
    Launch,
    MakeWorktree,
    MessageOrdered,
    MessageSettled,
    Mute,
    Ordered,
    Salvage,
    Salvaged,
    SendAnswer,
    SendMessage,
    SendStop,
    SendStored,
    Stop,
    StopOrdered,
    Stored,
    Superseded,
    SupervisorGone,
    SupervisorRefused,
    SupervisorUp,
    Swept,
    UndoWorktree,
    Unreadable,
    WaitGrace,
    WorktreeFailed,
    WorktreeMade,
    WriteExited,
)


class Phase(StrEnum):
    NEW = "new"  #: known; neither begun nor found
    MAKING = "making"  #: git makes its worktree
    UNDOING = "undoing"  #: git was told to stop
    LAUNCHING = "launching"  #: a supervisor was given it, or is being looked for
    UP = "up"  #: its supervisor answers
    SWEEPING = "sweeping"  #: the supervisor is gone without a word; killing what it left
    ENDED = "ended"  #: its end is in the spool
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Life:
    phase: Phase = Phase.NEW
    stop: Stop | None = None  #: the first order, with the greatest urgency asked for since
    fault: Fault | None = None
    messages: tuple[str, ...] = ()  #: ordered and not yet settled, in order
    answers: tuple[int, ...] = ()  #: to these questions
    muted: bool = False
    salvaging: bool = False
    unreadable: bool = False  #: its spool, so that nobody knows whether an agent of it lives
    stored: bool = False  #: the hub has the end, which it may before the supervisor is gone


Step = tuple[Life, list[Effect]]


def advance(life: Life, fact: Fact) -> Step:
    """The life after ``fact``, and what to do, in order."""
    match fact:
        case StopOrdered(stop):
            return _stop(life, stop)
        case Superseded():
            return _supersede(life)
        case MessageOrdered(id):
            return _message(life, id)
        case AnswerOrdered(question):
            return _answer(life, question)
        case MessageSettled(id):
            left = tuple(message for message in life.messages if message != id)
            return replace(life, messages=left), []
        case _:
            move = _MOVES.get((life.phase, type(fact)))
            return (life, []) if move is None else move(life, fact)


# Orders, which may come in any phase.


def _stop(life: Life, stop: Stop) -> Step:
    """The first order decides outcome and reason; a later one can only be more urgent."""
    if life.stop is None:
        life = replace(life, stop=stop)
        if life.phase is Phase.MAKING:
            return replace(life, phase=Phase.UNDOING), [CancelWorktree()]
        return life, _send_stop(life)
    if not stop.now or life.stop.now:
        return life, []
    life = replace(life, stop=replace(life.stop, now=True))
    return life, _send_stop(life)


def _supersede(life: Life) -> Step:
    if life.muted or life.phase is Phase.FORGOTTEN:
        return life, []
    life = replace(life, muted=True)
    match life.phase:
        case Phase.NEW if life.unreadable:
            return replace(life, phase=Phase.SWEEPING), [Mute(), KillMarked()]
        case Phase.MAKING:
            return replace(life, phase=Phase.UNDOING), [Mute(), CancelWorktree()]
        case Phase.UP | Phase.ENDED:
            return replace(life, salvaging=True), [Mute(), Salvage()]
        case _:  # also while nobody knows yet whether an agent of it lives
            return life, [Mute()]


def _message(life: Life, id: str) -> Step:
    if id in life.messages or life.phase in (Phase.ENDED, Phase.FORGOTTEN):
        return life, []
    life = replace(life, messages=(*life.messages, id))
    return life, [SendMessage(id)] if life.phase is Phase.UP else []


def _answer(life: Life, question: int) -> Step:
    """The first one counts. Its supervisor has heard it, or is told on the next line."""
    if question in life.answers or life.phase in (Phase.ENDED, Phase.FORGOTTEN):
        return life, []
    life = replace(life, answers=(*life.answers, question))
    return life, [SendAnswer(question)] if life.phase is Phase.UP else []


# Everything else, by phase.


def _begin(life: Life, _: Fact) -> Step:
    if life.muted:
        return _ended(life)
    if life.stop is not None:
        return _finish(life, _never_started(life.stop))
    return replace(life, phase=Phase.MAKING), [MakeWorktree()]


def _adopt(life: Life, fact: Fact) -> Step:
    if isinstance(fact, Adopted) and fact.ended:
        return _ended(life)
    return replace(life, phase=Phase.LAUNCHING), [Attach()]


def _unreadable(life: Life, _: Fact) -> Step:
    life = replace(life, unreadable=True)
    return (replace(life, phase=Phase.SWEEPING), [KillMarked()]) if life.muted else (life, [])


def _made(life: Life, _: Fact) -> Step:
    return replace(life, phase=Phase.LAUNCHING), [Launch()]


def _not_made(life: Life, fact: Fact) -> Step:
    fault = fact.fault if isinstance(fact, WorktreeFailed) else DIED
    return _finish(life, Exit("failed", "never_started", fault.reason, fault.message, fault.advice))


def _undone(life: Life, _: Fact) -> Step:
    return _finish(life, _never_started(life.stop))


def _made_too_late(life: Life, _: Fact) -> Step:
    """It ends once nothing is left of it: who hears of the end may want place and branch again."""
    return life, [UndoWorktree()]


def _up(life: Life, _: Fact) -> Step:
    """Also after a line was lost: the supervisor knows which messages and answers it has had."""
    life = replace(life, phase=Phase.UP)
    effects: list[Effect] = [SendMessage(id) for id in life.messages]
    effects += [SendAnswer(question) for question in life.answers]
    if life.muted and not life.salvaging:
        return replace(life, salvaging=True), [*effects, Salvage()]
    return life, effects + _send_stop(life)


def _refused(life: Life, fact: Fact) -> Step:
    if isinstance(fact, SupervisorRefused):
        if fact.recorded:
            return _ended(life)
        life = replace(life, fault=fact.fault)
    return replace(life, phase=Phase.SWEEPING), [KillMarked()]


def _gone(life: Life, fact: Fact) -> Step:
    if isinstance(fact, SupervisorGone) and fact.recorded:
        return _ended(life)
    if isinstance(fact, SupervisorGone) and fact.rebooted:
        life = replace(life, fault=REBOOTED)
    return replace(life, phase=Phase.SWEEPING), [KillMarked()]


def _swept(life: Life, fact: Fact) -> Step:
    ended, survivors = (fact.ended, fact.survivors) if isinstance(fact, Swept) else (0, 0)
    fault = life.fault or DIED
    exit = Exit("failed", "SIGKILL", fault.reason, fault.message, fault.advice, ended, survivors)
    if fault is REBOOTED:
        exit = replace(exit, outcome="lost", ended_by="reboot")
    if life.stop is not None:
        exit = replace(exit, outcome=life.stop.outcome, reason=life.stop.reason)
    return _finish(life, exit)


def _grace_over(life: Life, _: Fact) -> Step:
    return (life, []) if life.stop is None else _stop(life, replace(life.stop, now=True))


def _salvaged(life: Life, _: Fact) -> Step:
    life = replace(life, salvaging=False)
    if life.phase is Phase.ENDED:
        return _ended(life)
    life = replace(life, stop=life.stop or Stop("aborted", "another attempt took its place"))
    return life, _send_stop(life)


def _stored(life: Life, _: Fact) -> Step:
    life = replace(life, stored=True)
    if life.phase is Phase.ENDED:
        return _ended(life)
    return life, [SendStored()] if life.phase is Phase.UP else []


# What the moves have in common.


def _send_stop(life: Life) -> list[Effect]:
    stop = life.stop
    if life.phase is not Phase.UP or stop is None:
        return []
    if stop.grace_ms is None or stop.now:
        return [SendStop(stop)]
    return [SendStop(stop), WaitGrace(stop.grace_ms)]


def _finish(life: Life, exit: Exit) -> Step:
    """The daemon ends the spool itself, or nobody wants to know."""
    if life.muted:
        return _ended(life)
    left = life.messages
    return replace(life, phase=Phase.ENDED, messages=()), [WriteExited(exit, left)]


def _ended(life: Life) -> Step:
    if (life.muted or life.stored) and not life.salvaging:
        return replace(life, phase=Phase.FORGOTTEN), [Forget()]
    return replace(life, phase=Phase.ENDED), []


def _never_started(stop: Stop | None) -> Exit:
    if stop is None:  # superseded: nobody will read it
        return Exit("aborted", "never_started", "")
    return Exit(stop.outcome, "never_started", stop.reason)


_MOVES: Final[Mapping[tuple[Phase, type[Fact]], Callable[[Life, Fact], Step]]] = {
    (Phase.NEW, Ordered): _begin,
    (Phase.NEW, Adopted): _adopt,
    (Phase.NEW, Unreadable): _unreadable,
    (Phase.MAKING, WorktreeMade): _made,
    (Phase.MAKING, WorktreeFailed): _not_made,
    (Phase.UNDOING, WorktreeMade): _made_too_late,
    (Phase.UNDOING, WorktreeFailed): _undone,
    (Phase.LAUNCHING, SupervisorUp): _up,
    (Phase.LAUNCHING, SupervisorRefused): _refused,
    (Phase.LAUNCHING, SupervisorGone): _gone,
    (Phase.UP, SupervisorUp): _up,
    (Phase.UP, SupervisorGone): _gone,
    (Phase.UP, GraceOver): _grace_over,
    (Phase.UP, Salvaged): _salvaged,
    (Phase.LAUNCHING, Stored): _stored,
    (Phase.UP, Stored): _stored,
    (Phase.SWEEPING, Swept): _swept,
    (Phase.SWEEPING, Salvaged): _salvaged,
    (Phase.ENDED, Salvaged): _salvaged,
    (Phase.ENDED, Stored): _stored,
}
