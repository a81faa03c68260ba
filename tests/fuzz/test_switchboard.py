"""Any frames in any order, from two links: answered once each, and nothing is left."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from protocol.frames import Abort, Call, CallId, Credit, Fault, Frame, Item, Reply
from protocol.switchboard import LinkId, Run, Send, Stop, Switchboard
from tests.unit.test_frames import REFUSED

LINKS = st.sampled_from([LinkId("a"), LinkId("b")])
IDS = st.sampled_from([CallId(word) for word in "1234"])
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Call, IDS, st.just("op"), st.just({}), detach=st.sampled_from([None, True]),
              credit=st.none() | st.integers(1, 3)),
    st.builds(Reply, IDS),
    st.builds(Fault, st.none() | IDS, st.just(REFUSED)),
    st.builds(Abort, IDS),
    st.builds(Item, IDS, st.integers(1, 3), st.just(1)),
    st.builds(Credit, IDS, st.integers(1, 3)),
)  # fmt: skip


@given(st.lists(st.tuples(LINKS, FRAMES | st.just("lose") | st.builds(CallId, IDS)), max_size=30))
def test_any_frames_in_any_order_are_answered_once(facts: list[tuple[LinkId, Any]]) -> None:
    """A fact is a frame of a link, its loss, or the end of a handler."""
    board = Switchboard()
    running: dict[str, LinkId] = {}
    asked: Counter[tuple[LinkId, str]] = Counter()
    answered: Counter[tuple[LinkId, str]] = Counter()
    lost: set[tuple[LinkId, str]] = set()

    def look(effects: list[Any]) -> None:
        for effect in effects:
            match effect:
                case Run(link, call):
                    running[call.id] = link
                    asked[link, call.id] += 1
                case Send(link, Reply(id) | Fault(id)) if id is not None:
                    answered[link, id] += 1
                case Stop(id):
                    assert id in running, "only what runs is stopped"
                case _:
                    pass

    for link, fact in facts:
        if fact == "lose":
            lost |= {(link, id) for id, by in running.items() if by == link}
            look(board.lose(link))
        elif isinstance(fact, str):
            if fact in running:
                del running[fact]
                look(board.settle(Reply(CallId(fact), 1)))
        else:
            look(board.receive(link, fact))
    for id in list(running):
        del running[id]
        look(board.settle(Reply(CallId(id), 1)))
    assert not board.in_flight()
    for who, times in asked.items():
        gone = sum(one == who for one in lost)
        assert times - gone <= answered[who] <= times
