"""The life of an attempt on its spoke, as lists of effects."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import pytest

from spoke.core.story import (
    DIED,
    REBOOTED,
    Adopted,
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
from spoke.core.supervise import Life, Phase, advance

STOP = Stop("aborted", "enough", by="ab_1")
NOW = Stop("aborted", "at once", now=True)
BAD_REF = Fault("BAD_REF", "no such base", "it has main")
NEVER = Exit("aborted", "never_started", "enough")
UP = (Ordered(), WorktreeMade(), SupervisorUp())


def after(*facts: Fact) -> Life:
    return reduce(lambda life, fact: advance(life, fact)[0], facts, Life())


def effects(*facts: Fact) -> list[Effect]:
    """What the last of these facts calls for."""
    return advance(after(*facts[:-1]), facts[-1])[1]


def story(*facts: Fact) -> list[Effect]:
    """All effects, in order."""
    life, found = Life(), list[Effect]()
    for fact in facts:
        life, more = advance(life, fact)
        found += more
    return found


def test_the_plain_life() -> None:
    plain = (*UP, SupervisorGone(True), Stored())
    assert story(*plain) == [MakeWorktree(), Launch(), Forget()]
    assert after(*plain).phase is Phase.FORGOTTEN


def test_a_worktree_that_cannot_be_made_ends_it_with_the_reason() -> None:
    failed = Exit("failed", "never_started", "BAD_REF", "no such base", "it has main")
    assert effects(Ordered(), WorktreeFailed(BAD_REF)) == [WriteExited(failed)]


def test_stopped_before_it_began() -> None:
    assert story(StopOrdered(STOP), Ordered()) == [WriteExited(NEVER)]


def test_stopped_while_git_works() -> None:
    assert story(Ordered(), StopOrdered(STOP), WorktreeFailed(BAD_REF)) == [
        MakeWorktree(),
        CancelWorktree(),
        WriteExited(NEVER),
    ]


def test_stopped_just_after_git_was_done() -> None:
    """Who is told of the end may start at the same place, which is being cleared until then."""
    made = (Ordered(), StopOrdered(STOP), WorktreeMade())
    assert effects(*made) == [UndoWorktree()]
    assert effects(*made, WorktreeFailed(BAD_REF)) == [WriteExited(NEVER)]


def test_stopped_during_the_launch_is_stopped_once_it_is_up() -> None:
    launching = (Ordered(), WorktreeMade(), StopOrdered(STOP))
    assert effects(*launching) == []
    assert effects(*launching, SupervisorUp()) == [SendStop(STOP)]


def test_stopped_twice_is_told_once() -> None:
    assert effects(*UP, StopOrdered(STOP)) == [SendStop(STOP)]
    assert effects(*UP, StopOrdered(STOP), StopOrdered(Stop("blocked", "other"))) == []


def test_a_second_stop_may_be_more_urgent_and_keeps_the_first_reason() -> None:
    urgent = Stop("aborted", "enough", now=True, by="ab_1")
    assert effects(*UP, StopOrdered(STOP), StopOrdered(NOW)) == [SendStop(urgent)]
    assert effects(*UP, StopOrdered(STOP), StopOrdered(NOW), StopOrdered(NOW)) == []
    launched = (Ordered(), WorktreeMade(), StopOrdered(STOP), StopOrdered(NOW))
    assert effects(*launched, SupervisorUp()) == [SendStop(urgent)]


def test_a_grace_ends_in_a_kill() -> None:
    gentle = Stop("aborted", "enough", grace_ms=500)
    assert effects(*UP, StopOrdered(gentle)) == [SendStop(gentle), WaitGrace(500)]
    urgent = Stop("aborted", "enough", now=True, grace_ms=500)
    assert effects(*UP, StopOrdered(gentle), GraceOver()) == [SendStop(urgent)]
    assert effects(*UP, StopOrdered(gentle), SupervisorGone(True), GraceOver()) == []


def test_messages_wait_for_the_agent_and_keep_their_order() -> None:
    early = (MessageOrdered("m1"), Ordered(), MessageOrdered("m2"), WorktreeMade())
    assert story(*early) == [MakeWorktree(), Launch()]
    assert effects(*early, MessageOrdered("m3"), SupervisorUp()) == [
        SendMessage("m1"),
        SendMessage("m2"),
        SendMessage("m3"),
    ]
    assert effects(*UP, MessageOrdered("m")) == [SendMessage("m")]
    assert effects(*UP, MessageOrdered("m"), MessageOrdered("m")) == []


def test_a_new_line_repeats_what_is_not_settled() -> None:
    said = (*UP, MessageOrdered("m1"), MessageOrdered("m2"), StopOrdered(STOP))
    assert effects(*said, MessageSettled("m1"), SupervisorUp()) == [
        SendMessage("m2"),
        SendStop(STOP),
    ]


def test_messages_that_cannot_arrive_are_told_with_the_end() -> None:
    said = (MessageOrdered("m1"), MessageOrdered("m2"), Ordered(), StopOrdered(STOP))
    assert effects(*said, WorktreeFailed(BAD_REF)) == [WriteExited(NEVER, ("m1", "m2"))]
    assert effects(*said, WorktreeFailed(BAD_REF), MessageOrdered("m3")) == []


def test_a_supervisor_that_was_killed_is_swept_up_after() -> None:
    assert effects(*UP, SupervisorGone(False)) == [KillMarked()]
    died = Exit("failed", "SIGKILL", DIED.reason, DIED.message, DIED.advice, 3, 0)
    assert effects(*UP, SupervisorGone(False), Swept(3, 0)) == [WriteExited(died)]


def test_what_a_reboot_ended_is_lost_and_not_failed() -> None:
    gone = (Adopted(ended=False), SupervisorGone(False, rebooted=True))
    lost = Exit("lost", "reboot", REBOOTED.reason, REBOOTED.message, REBOOTED.advice)
    assert effects(*gone, Swept(0, 0)) == [WriteExited(lost)]
    said = effects(*gone, StopOrdered(STOP), Swept(0, 0))
    assert said == [WriteExited(replace(lost, outcome="aborted", reason="enough"))]
    assert after(Adopted(ended=False), SupervisorGone(True, rebooted=True)).phase is Phase.ENDED


def test_a_supervisor_killed_during_a_stop_was_aborted() -> None:
    killed = (*UP, StopOrdered(STOP), SupervisorGone(False), Swept(1, 0))
    aborted = Exit("aborted", "SIGKILL", "enough", DIED.message, DIED.advice, 1, 0)
    assert effects(*killed) == [WriteExited(aborted)]
    late = (*UP, SupervisorGone(False), StopOrdered(STOP), Swept(1, 0))
    assert effects(*late) == [WriteExited(aborted)]


def test_a_supervisor_that_refused() -> None:
    launched = (Ordered(), WorktreeMade())
    assert effects(*launched, SupervisorRefused(BAD_REF, recorded=True)) == []
    assert after(*launched, SupervisorRefused(BAD_REF, recorded=True)).phase is Phase.ENDED
    unrecorded = SupervisorRefused(BAD_REF, recorded=False)
    assert effects(*launched, unrecorded) == [KillMarked()]
    failed = Exit("failed", "SIGKILL", "BAD_REF", "no such base", "it has main")
    assert effects(*launched, unrecorded, Swept(0, 0)) == [WriteExited(failed)]


def test_adopted_after_a_restart() -> None:
    assert effects(Adopted(ended=False)) == [Attach()]
    assert effects(MessageOrdered("m"), Adopted(ended=False), SupervisorUp()) == [SendMessage("m")]
    assert effects(StopOrdered(STOP), Adopted(ended=False), SupervisorUp()) == [SendStop(STOP)]
    assert effects(Adopted(ended=False), SupervisorGone(False)) == [KillMarked()]
    assert effects(Adopted(ended=True), Stored()) == [Forget()]


def test_the_hub_may_have_the_end_before_the_supervisor_is_gone() -> None:
    assert effects(*UP, Stored()) == [SendStored()], "it need not wait for its disk"
    assert effects(*UP, Stored(), SupervisorGone(True)) == [Forget()]
    assert effects(Ordered(), WorktreeMade(), Stored(), SupervisorGone(True)) == [Forget()]


def test_superseded_saves_then_stops_and_says_nothing() -> None:
    vanish = (*UP, Superseded(), Salvaged(), SupervisorGone(True))
    assert story(*vanish)[2:] == [
        Mute(),
        Salvage(),
        SendStop(Stop("aborted", "another attempt took its place")),
        Forget(),
    ]
    assert story(*UP, Superseded(), SupervisorGone(True), Salvaged())[2:] == [
        Mute(),
        Salvage(),
        Forget(),
    ]
    assert effects(*UP, Superseded(), Superseded()) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ((Superseded(),), [Mute()]),
        ((Superseded(), Ordered()), [Forget()]),
        ((Superseded(), Adopted(ended=True)), [Forget()]),
        ((Superseded(), Adopted(ended=False)), [Attach()]),
        ((Superseded(), Adopted(ended=False), SupervisorUp()), [Salvage()]),
        ((Superseded(), Unreadable()), [KillMarked()]),
        ((Unreadable(), Superseded()), [Mute(), KillMarked()]),
        ((Unreadable(), Superseded(), Swept(1, 0)), [Forget()]),
        ((Ordered(), Superseded()), [Mute(), CancelWorktree()]),
        ((Ordered(), Superseded(), WorktreeFailed(BAD_REF)), [Forget()]),
        ((Ordered(), Superseded(), WorktreeMade()), [UndoWorktree()]),
        ((Ordered(), Superseded(), WorktreeMade(), WorktreeFailed(BAD_REF)), [Forget()]),
        ((Ordered(), WorktreeMade(), Superseded()), [Mute()]),
        ((Ordered(), WorktreeMade(), Superseded(), SupervisorUp()), [Salvage()]),
        ((*UP, SupervisorGone(False), Superseded()), [Mute()]),
        ((*UP, SupervisorGone(False), Superseded(), Swept(1, 0)), [Forget()]),
        ((*UP, SupervisorGone(True), Superseded()), [Mute(), Salvage()]),
        ((*UP, SupervisorGone(True), Superseded(), Salvaged()), [Forget()]),
    ],
)
def test_superseded_in_every_phase(facts: tuple[Fact, ...], expected: list[Effect]) -> None:
    assert effects(*facts) == expected


def test_what_cannot_be_read_is_left_alone() -> None:
    assert story(Unreadable(), StopOrdered(STOP), MessageOrdered("m"), Stored()) == []


def test_what_crosses_on_its_way_changes_nothing() -> None:
    for fact in (Ordered(), WorktreeMade(), Swept(0, 0), Adopted(ended=True), GraceOver()):
        assert advance(after(*UP), fact) == (after(*UP), [])
    assert effects(*UP, SupervisorGone(True), StopOrdered(STOP)) == []
