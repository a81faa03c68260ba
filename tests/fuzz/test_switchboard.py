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
    running: dict[CallId, tuple[LinkId, CallId]] = {}  # who asked for it, and under which id
    asked: Counter[tuple[LinkId, CallId]] = Counter()
    answered: Counter[tuple[LinkId, CallId]] = Counter()
    lost: Counter[tuple[LinkId, CallId]] = Counter()

    def look(effects: list[Any], said: CallId | None = None) -> None:
        for effect in effects:
            match effect:
                case Run(link, call) if said is not None:
                    assert call.id not in running, "told apart from all that runs"
                    running[call.id] = (link, said)
                    asked[link, said] += 1
                case Send(link, Reply(id) | Fault(id)) if id is not None:
                    answered[link, id] += 1
                case Stop(id):
                    assert id in running, "only what runs is stopped"
                case _:
                    pass

    for link, fact in facts:
        if fact == "lose":
            lost.update(who for who in running.values() if who[0] == link)
            look(board.lose(link))
        elif isinstance(fact, str):
            if (link, fact) in running.values():
                id = next(id for id, who in running.items() if who == (link, fact))
                del running[id]
                look(board.settle(Reply(id, 1)))
        else:
            look(board.receive(link, fact), fact.id if isinstance(fact, Call) else None)
    for id in list(running):
        del running[id]
        look(board.settle(Reply(id, 1)))
    assert not board.in_flight()
    for who, times in asked.items():
        assert times - lost[who] <= answered[who] <= times
