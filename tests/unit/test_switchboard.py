"""The switchboard on quiet days: a fact in, a list of effects out."""

from __future__ import annotations

from protocol.errors import Cancelled, Internal, LinkLost
from protocol.frames import (
    Abort,
    Call,
    CallId,
    Credit,
    Fault,
    Goaway,
    Item,
    Mode,
    Notice,
    Reply,
)
from protocol.limits import MAX_IN_FLIGHT
from protocol.switchboard import (
    Accuse,
    Answer,
    Deliver,
    Effect,
    GoOn,
    Hear,
    LinkId,
    Run,
    Send,
    Stop,
    Switchboard,
)

UP, DOWN, BESIDE = LinkId("up"), LinkId("down"), LinkId("beside")
A, B, C = CallId("a"), CallId("b"), CallId("c")


def call(id: CallId, *, detach: bool | None = None, credit: int | None = None) -> Call:
    return Call(id, "op", {}, detach=detach, credit=credit)


def handling(detach: bool | None = None, credit: int | None = None) -> Switchboard:
    """A board that runs call A for UP, on whose behalf call B runs on DOWN."""
    board = Switchboard()
    asked = call(A, detach=detach, credit=credit)
    assert board.receive(UP, asked) == [Run(UP, asked)]
    assert board.place(call(B), on=DOWN, parent=A) == [Send(DOWN, call(B))]
    return board


def outline(effects: list[Effect]) -> list[str]:
    """Effects in short, for lists in which the errors themselves are told elsewhere."""
    said: list[str] = []
    for effect in effects:
        match effect:
            case Send(link, frame):
                said.append(f"send {link} {type(frame).__name__}")
            case Stop(id) | Answer(id) | Deliver(id) | GoOn(id):
                said.append(f"{type(effect).__name__.lower()} {id}")
            case Run(_, asked):
                said.append(f"run {asked.id}")
            case Hear(link) | Accuse(link):
                said.append(f"{type(effect).__name__.lower()} {link}")
    return said


def test_an_answer_waits_for_the_calls_below() -> None:
    board, done = handling(), Reply(A, 1)
    assert outline(board.settle(done)) == ["send down Abort"]
    assert outline(board.receive(DOWN, Reply(B, 2))) == ["answer b", "send up Reply"]
    assert not board.in_flight()


def test_the_first_word_of_a_handler_stands() -> None:
    board = handling()
    board.settle(Reply(A, 1))
    assert board.settle(Reply(A, 2)) == [], "said while the first word waits for what is below"
    assert board.receive(DOWN, Reply(B))[1:] == [Send(UP, Reply(A, 1))]


def test_nothing_is_begun_for_a_handler_that_has_said_its_word() -> None:
    board = handling()
    board.settle(Reply(A, 1))
    assert outline(board.place(call(C), on=DOWN, parent=A)) == ["answer c"]
    assert outline(board.receive(DOWN, Reply(B))) == ["answer b", "send up Reply"]


def test_an_abort_goes_down_and_the_answers_come_up() -> None:
    board, why = handling(), Cancelled("ABORTED", "enough")
    assert board.receive(UP, Abort(A, "enough"))[1:] == [Send(DOWN, Abort(B, "enough"))]
    assert board.abort(A, why) == [], "once is enough"
    assert board.settle(Fault(A, why)) == []
    assert outline(board.receive(DOWN, Fault(B, why))) == ["answer b", "send up Fault"]


def test_a_lost_caller_aborts_what_it_asked_for() -> None:
    board = handling()
    assert outline(board.lose(UP)) == ["stop a", "send down Abort"]
    assert outline(board.receive(DOWN, Reply(B))) == ["answer b"]
    assert board.settle(Reply(A)) == [], "nobody is there to be told"
    assert not board.in_flight()


def test_detached_work_goes_on_without_its_caller() -> None:
    board = handling(detach=True)
    assert board.lose(UP) == []
    assert board.place(call(C), on=DOWN, parent=A) == [Send(DOWN, call(C))]
    assert board.in_flight() == {A, B, C}


def test_detached_work_does_not_wait_for_the_credit_of_a_lost_reader() -> None:
    board = handling(detach=True, credit=1)
    board.emit(A, "one")
    assert not board.may_emit(A)
    assert board.lose(UP) == [GoOn(A)]
    assert board.may_emit(A)
    assert board.emit(A, "two") == []


def test_a_lost_callee_fails_its_calls() -> None:
    board = handling()
    [answer] = board.lose(DOWN)
    assert isinstance(answer, Answer) and isinstance(answer.outcome, Fault)
    assert isinstance(answer.outcome.error, LinkLost) and answer.outcome.error.retryable
    assert board.in_flight() == {A}


def test_a_link_may_ask_only_so_much_at_once() -> None:
    board = Switchboard()
    ids = [CallId(f"{n}") for n in range(MAX_IN_FLIGHT)]
    assert all(board.receive(UP, call(id)) == [Run(UP, call(id))] for id in ids)
    [refused] = board.receive(UP, call(A))
    assert isinstance(refused, Send) and isinstance(refused.frame, Fault)
    assert (refused.frame.id, refused.frame.error.reason) == (A, "RATE_LIMITED")
    assert refused.frame.error.retryable and refused.frame.error.retry_after_ms
    assert outline(board.receive(BESIDE, call(B))) == ["run b"], "the others are not punished"
    board.settle(Reply(ids[0]))
    assert outline(board.receive(UP, call(A))) == ["run a"]
    board.lose(UP)
    assert outline(board.receive(UP, call(C))) == ["run c"], "a new link starts from nothing"


def test_an_id_in_flight_is_not_run_again() -> None:
    board = handling()
    [refused] = board.receive(UP, call(A))
    assert isinstance(refused, Send) and isinstance(refused.frame, Fault)
    assert (refused.link, refused.frame.id) == (UP, None)
    assert refused.frame.error.reason == "DUPLICATE_ID"
    assert refused.frame.error.details == {"id": "a"}


def test_two_links_may_say_the_same_id() -> None:
    board = handling(credit=1)
    [run] = board.receive(BESIDE, call(A, credit=1))
    assert isinstance(run, Run) and run.link == BESIDE
    other = run.call.id
    assert other != A, "this process tells them apart"
    assert outline(board.receive(BESIDE, call(A))) == ["send beside Fault"], (
        "a duplicate of its own"
    )
    assert board.emit(other, 1) == [Send(BESIDE, Item(A, 1, 1))], "and each link hears its own"
    assert board.receive(BESIDE, Credit(A, 1)) == [GoOn(other)]
    assert board.receive(UP, Credit(A, 1)) == [GoOn(A)]
    assert outline(board.receive(BESIDE, Abort(A, "enough"))) == [f"stop {other}"]
    assert board.settle(Reply(other, "late")) == [Send(BESIDE, Reply(A, "late"))]
    assert board.in_flight() == {A, B}, "the other one's call goes on"
    [again] = board.receive(BESIDE, call(A))
    assert isinstance(again, Run), "the id is free again"
    board.lose(BESIDE)
    assert outline(board.receive(BESIDE, call(A)))[0].startswith("run"), "and on another link too"
    assert outline(board.receive(UP, Abort(A))) == ["stop a", "send down Abort"]


def test_the_later_of_two_that_say_one_id_may_be_let_go() -> None:
    board = handling()
    [run] = board.receive(BESIDE, call(A))
    assert isinstance(run, Run)
    [answered, *_] = board.receive(BESIDE, Abort(A, "enough", Mode.KILL_NOWAIT))
    assert isinstance(answered, Send) and answered.link == BESIDE
    assert isinstance(answered.frame, Fault) and answered.frame.id == A
    assert board.settle(Reply(run.call.id)) == []
    assert outline(board.receive(BESIDE, call(A)))[0].startswith("run"), "the id is free again"


def test_only_the_callee_may_answer() -> None:
    board = handling()
    for lie in (Reply(B, "lie"), Fault(B, Internal("LIE", "lie")), Item(B, 1, "lie")):
        assert outline(board.receive(BESIDE, lie)) == ["accuse beside"]
    assert outline(board.receive(UP, Reply(A, "lie"))) == ["accuse up"]
    assert outline(board.receive(DOWN, Fault(None, Internal("X", "x")))) == ["accuse down"]
    assert board.settle(Reply(B, "lie")) == []
    assert board.receive(DOWN, Reply(B, "truth")) == [Answer(B, Reply(B, "truth"))]
    assert outline(board.receive(DOWN, Reply(B, "again"))) == ["accuse down"]


def test_only_the_caller_may_abort() -> None:
    board = handling(credit=1)
    for id in (A, B, C):
        assert board.receive(BESIDE, Abort(id)) == []
        assert board.receive(DOWN, Abort(id)) == []
        assert board.receive(BESIDE, Credit(id, 5)) == []
    assert board.emit(A, 1) == [Send(UP, Item(A, 1, 1))]
    assert not board.may_emit(A)


def test_items_come_in_order() -> None:
    board = handling()
    assert board.receive(DOWN, Item(B, 1, "x")) == [Deliver(B, "x")]
    for seq in (1, 3):
        assert outline(board.receive(DOWN, Item(B, seq, "y"))) == ["accuse down"]
    assert board.receive(DOWN, Item(B, 2, "y")) == [Deliver(B, "y")]


def test_items_end_with_the_call() -> None:
    board = handling()
    assert board.emit(A, 1) == [Send(UP, Item(A, 1, 1))]
    board.settle(Reply(A))
    assert board.emit(A, 2) == [], "the answer is known, and held"
    assert board.grant(A, 1) == [], "not ours to grant"
    assert outline(board.grant(B, 1)) == [], "aborted: no more is wanted"


def test_credit_is_what_may_be_sent() -> None:
    board = handling(credit=1)
    assert board.may_emit(A)
    board.emit(A, 1)
    assert not board.may_emit(A)
    assert board.receive(UP, Credit(A, 2)) == [GoOn(A)]
    board.emit(A, 2)
    assert board.may_emit(A)
    board.emit(A, 3)
    assert not board.may_emit(A)
    assert board.grant(B, 7) == [Send(DOWN, Credit(B, 7))]


def test_what_is_not_a_call_is_heard() -> None:
    board = Switchboard()
    for frame in (Notice("spoke.heartbeat", {}), Goaway("restart", 1)):
        assert board.receive(UP, frame) == [Hear(UP, frame)]
    assert not board.in_flight() and not board.holds(A)


# Modes of an abort, and calls that continue.


def far_abort(board: Switchboard, mode: Mode) -> list[str]:
    return outline(board.receive(UP, Abort(A, "enough", mode)))


def test_killnowait_is_answered_at_once_and_ends_what_is_below() -> None:
    board = handling()
    assert far_abort(board, Mode.KILL_NOWAIT) == ["send up Fault", "stop a", "send down Abort"]
    assert far_abort(board, Mode.KILL_NOWAIT) == []
    assert board.in_flight() == {A, B}
    assert board.settle(Fault(A, Cancelled("ABORTED", "enough"))) == []
    ended = outline(board.receive(DOWN, Fault(B, Cancelled("ABORTED", "enough"))))
    assert ended == ["answer b"], "and its caller is not answered twice"
    assert not board.in_flight()


def test_skip_is_answered_at_once_and_the_work_goes_on() -> None:
    board = handling(credit=1)
    assert far_abort(board, Mode.SKIP) == ["send up Fault", "goon a"]
    assert far_abort(board, Mode.SKIP) == [] and far_abort(board, Mode.KILL) == []
    assert board.emit(A, 1) == [] and board.may_emit(A), "nobody is left to take an item"
    assert outline(board.receive(DOWN, Reply(B))) == ["answer b"]
    assert board.settle(Reply(A)) == []
    assert not board.in_flight()


def test_who_placed_a_call_here_may_wait_no_more() -> None:
    for mode, sent in ((Mode.KILL_NOWAIT, Mode.KILL_NOWAIT), (Mode.SKIP, Mode.SKIP)):
        board = handling()
        answered, told = board.abort(B, Cancelled("ABORTED", "enough"), mode)
        assert isinstance(answered, Answer) and isinstance(answered.outcome, Fault)
        assert isinstance(told, Send) and isinstance(told.frame, Abort)
        assert told.frame.mode == sent
        assert board.receive(DOWN, Item(B, 1, "late")) == []
        assert board.abort(B, Cancelled("ABORTED", "enough"), mode) == []


def test_a_parent_waits_for_what_is_being_killed_and_not_for_what_is_skipped() -> None:
    board = handling()
    board.abort(B, Cancelled("ABORTED", "enough"), Mode.KILL_NOWAIT)
    assert board.settle(Reply(A)) == []
    assert outline(board.receive(DOWN, Reply(B))) == ["send up Reply"]
    board = handling()
    board.abort(B, Cancelled("ABORTED", "enough"), Mode.SKIP)
    assert outline(board.settle(Reply(A))) == ["send up Reply"]
    assert board.in_flight() == {B}
    board = handling()
    assert board.settle(Reply(A)) != []
    skipped = outline(board.abort(B, Cancelled("ABORTED", "enough"), Mode.SKIP))
    assert skipped == [], "it is being aborted with its parent already"


def test_who_does_not_wait_still_has_a_call_in_flight() -> None:
    """Else one could have any number of them running in the background."""
    board = Switchboard()
    for n in range(MAX_IN_FLIGHT):
        board.receive(UP, call(CallId(f"{n}")))
        board.receive(UP, Abort(CallId(f"{n}"), "", Mode.KILL_NOWAIT))
    assert outline(board.receive(UP, call(A))) == ["send up Fault"]
    board.settle(Reply(CallId("0")))
    assert outline(board.receive(UP, call(A))) == ["run a"]
    board.lose(UP)
    board.settle(Reply(CallId("1")))
    assert outline(board.receive(UP, call(B))) == ["run b"]


def test_a_call_that_continues_is_not_below() -> None:
    board = handling()
    assert board.place(call(C), on=BESIDE, parent=A, continues=True) == [Send(BESIDE, call(C))]
    assert outline(board.receive(UP, Abort(A))) == ["stop a", "send down Abort"]
    board.settle(Reply(A))
    assert outline(board.receive(DOWN, Reply(B))) == ["answer b", "send up Reply"]
    assert outline(board.receive(BESIDE, Reply(C))) == ["answer c"]
    refused = board.place(call(C), on=BESIDE, parent=A, continues=True)
    assert outline(refused) == ["answer c"], "nothing is begun for a call that is over"
