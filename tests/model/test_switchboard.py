"""The promises of switchboard and ledger, on a network where anything may happen next.

A client, a hub and two spokes. Each link is a connection over one wire after the other: wires
delay, break and lose their last frames in both directions, and what an old one still brings arrives
late, after and beside the same frames on the new one. Wires, handlers and readers are in
hypothesis's hands. The model keeps its own books and never asks a switchboard what it thinks of
itself.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from unittest import mock

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from protocol import resume, switchboard
from protocol.errors import Cancelled, Internal, LinkLost, ResourceExhausted
from protocol.frames import Abort, Call, CallId, Credit, Fault, Frame, Item, Outcome, Reply
from protocol.resume import Ledger, Turn
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

CLIENT, HUB = "client", "hub"
NODES = (CLIENT, HUB, "spoke-a", "spoke-b")
LINKS = {LinkId(far): (HUB, far) for far in NODES if far != HUB}
MOST = 4  # calls in flight on a link; small enough to be reached
ACKED = 3  # frames heard before an ack is owed
ALL = 1 << 30


def far_end(link: LinkId, node: str) -> str:
    return next(end for end in LINKS[link] if end != node)


def keeping() -> Ledger:
    ledger = Ledger()
    ledger.keep()
    return ledger


def reason_of(outcome: Outcome) -> str:
    return outcome.error.reason if isinstance(outcome, Fault) else "ok"


@dataclass(slots=True)
class Story:
    """What happened to one call, as seen from above."""

    call: Call
    parent: CallId | None
    placer: str
    link: LinkId
    life: int  # which life of the link it was placed in
    refused: bool = False  # its parent was over
    busy: bool = False  # the far side had too many
    ran: bool = False
    aborted_at: set[str] = field(default_factory=set[str])  # nodes at which somebody asked for it
    stopped: bool = False
    said: Outcome | None = None  # the handler's first word
    settled: bool = False  # the runner answered
    sent: list[Outcome] = field(default_factory=list[Outcome])
    answered: list[Outcome] = field(default_factory=list[Outcome])  # to whoever placed it
    items_sent: int = 0
    items_read: int = 0
    granted: int | None = None  # credit that has arrived at the runner

    @property
    def runner(self) -> str:
        return far_end(self.link, self.placer)

    @property
    def running(self) -> bool:
        return self.ran and self.said is None


class Network(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patches = [
            mock.patch.object(switchboard, "MAX_IN_FLIGHT", MOST),
            mock.patch.object(resume, "ACK_FRAMES", ACKED),
        ]
        for patch in self.patches:
            patch.start()
        self.boards = {name: Switchboard() for name in NODES}
        ends = [(node, link) for link in LINKS for node in LINKS[link]]
        self.said: list[Frame] = []  # the text of a frame is its place in here
        self.ledgers = {end: keeping() for end in ends}
        self.wires = {end: deque[tuple[Turn, bytes]]() for end in ends}  # what the newest brings
        self.late = {end: deque[tuple[Turn, bytes]]() for end in ends}  # and what older ones do
        self.up = set(LINKS)
        self.carried = set(LINKS)  # by a wire
        self.life: Counter[LinkId] = Counter()
        self.unnoticed: set[tuple[str, LinkId]] = set()  # who has not seen yet that it was cut
        self.stories: dict[CallId, Story] = {}
        self.asked: Counter[tuple[str, LinkId]] = Counter()  # unanswered, by who was asked

    # What follows from an effect.

    def carry_out(self, node: str, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(link, frame):
                    self.check_sent(node, frame)
                    if link in self.up:
                        self.said.append(frame)
                        self.ledgers[node, link].say(b"%d" % (len(self.said) - 1))
                        self.write(node, link)
                case Run(link, call):
                    self.check_run(node, link, call)
                case Stop(id, _):
                    self.check_stopped(node, self.stories[id])
                case Answer(id, outcome):
                    self.check_answered(node, self.stories[id], outcome)
                case Deliver(id, value):
                    story = self.stories[id]
                    assert not story.answered, "items never after the answer"
                    assert value == story.items_read + 1, "items in order, without a gap"
                    story.items_read += 1
                case GoOn(id):
                    assert self.stories[id].runner == node
                case Hear():
                    raise AssertionError("nobody says notices here")
                case Accuse():
                    raise AssertionError(f"an honest node was accused: {effect}")

    def check_sent(self, node: str, frame: Frame) -> None:
        if not isinstance(frame, Reply | Fault) or frame.id is None:
            return
        story = self.stories[frame.id]
        assert node == story.runner, "only the one that was asked answers"
        if story.busy:
            assert reason_of(frame) == "RATE_LIMITED"
        else:
            assert frame == story.said, "promise 1: the first word stands"
            self.asked[node, story.link] -= 1
        self.check_children_first(node, story)
        story.sent.append(frame)
        story.settled = True
        assert len(story.sent) == 1, "promise 1: answered exactly once"

    def check_run(self, node: str, link: LinkId, call: Call) -> None:
        story = self.stories[call.id]
        assert not story.ran, "an id is run once"
        assert (story.runner, story.link) == (node, link)
        story.ran, story.granted = True, call.credit

    def check_stopped(self, node: str, story: Story) -> None:
        assert story.runner == node
        assert not story.stopped, "told once"
        assert story.said is None, "a handler that is done is not told to stop"
        assert self.may_be_stopped(story), "promise 3: no call above or beside it"
        story.stopped = True

    def check_answered(self, node: str, story: Story, outcome: Outcome) -> None:
        assert node == story.placer
        story.answered.append(outcome)
        assert len(story.answered) == 1, "promise 1: answered exactly once"
        match reason_of(outcome):
            case "LINK_LOST":
                assert isinstance(outcome, Fault) and isinstance(outcome.error, LinkLost)
                assert not self.whole(story), "lost only what went with its link"
            case "ABORTED" if story.refused:
                assert isinstance(outcome, Fault) and isinstance(outcome.error, Cancelled)
            case _:
                assert story.sent == [outcome], "the answer is the one that was given"
                unread = story.items_sent - story.items_read
                assert not unread or story.aborted_at or self.aborted_above(story), (
                    "every item before the answer"
                )

    def check_children_first(self, node: str, story: Story) -> None:
        for below in self.below(story):
            if below.placer == node and below.parent == story.call.id:
                assert below.answered, "promise 2: no answer while a call on its behalf is open"
            if self.whole(below) and self.path_whole(below, story):
                assert not below.running, "promise 2: nothing below still runs"

    # What the books say.

    def whole(self, story: Story) -> bool:
        """Whether the link it was placed on still is the same one."""
        return story.link in self.up and story.life == self.life[story.link]

    def path_whole(self, below: Story, top: Story) -> bool:
        while below is not top and below.parent is not None:
            if not self.whole(below):
                return False
            below = self.stories[below.parent]
        return True

    def below(self, top: Story) -> Iterator[Story]:
        children = [s for s in self.stories.values() if s.parent == top.call.id and not s.refused]
        for child in children:
            yield child
            yield from self.below(child)

    def aborted_above(self, story: Story) -> bool:
        """Whether an abort could have come down to it from above."""
        if story.parent is None:
            return False
        above = self.stories[story.parent]
        return above.said is not None or self.may_be_stopped(above)

    def may_be_stopped(self, story: Story) -> bool:
        cut_off = not self.whole(story) and not story.call.detach
        return bool(story.aborted_at) or cut_off or self.aborted_above(story)

    def must_be_stopped(self, story: Story) -> bool:
        """Once every frame has arrived and every cut was noticed."""
        if story.runner in story.aborted_at:
            return True
        if not self.whole(story):
            return not story.call.detach
        if story.placer in story.aborted_at:
            return True
        if story.parent is None:
            return False
        above = self.stories[story.parent]
        return above.said is not None or above.stopped

    def lost_caller(self, story: Story) -> bool:
        """As its runner has seen: of a life of the link before this one, all have seen the end."""
        is_this = story.life == self.life[story.link]
        is_unseen = is_this and (story.runner, story.link) in self.unnoticed
        return not self.whole(story) and not is_unseen

    # Drawing.

    def ids(self, data: st.DataObject, some: Iterator[Story]) -> Story | None:
        found = sorted(story.call.id for story in some)
        return self.stories[data.draw(st.sampled_from(found))] if found else None

    def place(self, data: st.DataObject, node: str, link: LinkId, parent: Story | None) -> None:
        call = Call(
            CallId(f"{len(self.stories):04}"),
            "op",
            {},
            detach=data.draw(st.sampled_from([None, False, True])),
            credit=data.draw(st.sampled_from([None, 1, 3])),
        )
        above = parent.call.id if parent is not None else None
        continues = data.draw(st.sampled_from([False, False, True]))
        below = None if continues else above
        story = self.stories[call.id] = Story(call, below, node, link, self.life[link])
        story.refused = parent is not None and (parent.stopped or parent.said is not None)
        effects = self.boards[node].place(call, on=link, parent=above, continues=continues)
        if story.refused:
            assert not any(isinstance(effect, Send) for effect in effects), (
                "promise 2, 3: nothing is begun for a call that is over"
            )
        else:
            assert effects == [Send(link, call)]
        self.carry_out(node, effects)

    # What may happen next.

    @precondition(lambda self: LinkId(CLIENT) in self.up and not self.unnoticed)
    @rule(data=st.data())
    def client_places_a_call(self, data: st.DataObject) -> None:
        self.place(data, CLIENT, LinkId(CLIENT), None)

    @precondition(lambda self: any(story.ran for story in self.stories.values()))
    @rule(data=st.data())
    def a_handler_places_a_call(self, data: st.DataObject) -> None:
        parent = self.ids(data, (story for story in self.stories.values() if story.ran))
        assert parent is not None
        node = parent.runner
        near = sorted(
            link
            for link in self.up
            if node in LINKS[link] and not any(seen == link for _, seen in self.unnoticed)
        )
        if near:
            self.place(data, node, data.draw(st.sampled_from(near)), parent)

    @precondition(lambda self: any(self.wires.values()))
    @rule(data=st.data())
    def a_frame_arrives(self, data: st.DataObject) -> None:
        self.deliver_one(*data.draw(st.sampled_from(sorted(k for k, w in self.wires.items() if w))))

    @rule()
    def all_frames_arrive(self) -> None:
        self.deliver_everything()

    @precondition(lambda self: any(story.ran for story in self.stories.values()))
    @rule(data=st.data(), succeeds=st.booleans())
    def a_handler_finishes_or_says_so_again(self, data: st.DataObject, succeeds: bool) -> None:
        story = self.ids(data, (story for story in self.stories.values() if story.ran))
        assert story is not None
        self.finish(story, succeeds=succeeds)

    @precondition(lambda self: any(s.said and not s.settled for s in self.stories.values()))
    @rule(data=st.data(), succeeds=st.booleans())
    def a_handler_changes_its_mind(self, data: st.DataObject, succeeds: bool) -> None:
        held = (story for story in self.stories.values() if story.said and not story.settled)
        story = self.ids(data, held)
        assert story is not None
        self.finish(story, succeeds=succeeds)

    @precondition(lambda self: any(story.ran for story in self.stories.values()))
    @rule(data=st.data(), times=st.integers(1, 4))
    def a_handler_emits(self, data: st.DataObject, times: int) -> None:
        story = self.ids(data, (story for story in self.stories.values() if story.ran))
        assert story is not None
        for _ in range(times):
            self.emit(story)

    def emit(self, story: Story) -> None:
        node, id = story.runner, story.call.id
        may = self.boards[node].may_emit(id)
        over = story.stopped or story.said is not None or self.lost_caller(story)
        if not over:
            room = story.granted is None or story.items_sent < story.granted
            assert may == room, "never more items than granted, and never fewer"
        elif self.lost_caller(story):
            assert may, "nobody waits for credit that nobody can grant"
        if may:
            effects = self.boards[node].emit(id, story.items_sent + 1)
            if over:
                assert effects == [], "items never after the answer"
            else:
                story.items_sent += 1
                item = Item(id, story.items_sent, story.items_sent)
                assert effects == [Send(story.link, item)]
            self.carry_out(node, effects)

    @precondition(lambda self: any(story.call.credit for story in self.stories.values()))
    @rule(data=st.data(), n=st.integers(1, 3))
    def a_reader_grants(self, data: st.DataObject, n: int) -> None:
        streams = (story for story in self.stories.values() if story.call.credit)
        story = self.ids(data, streams)
        assert story is not None
        effects = self.boards[story.placer].grant(story.call.id, n)
        if story.answered:
            assert effects == []
        elif not self.may_be_stopped(story):
            assert effects == [Send(story.link, Credit(story.call.id, n))]
        self.carry_out(story.placer, effects)

    @precondition(lambda self: self.stories)
    @rule(data=st.data(), at_the_runner=st.booleans())
    def somebody_aborts(self, data: st.DataObject, at_the_runner: bool) -> None:
        story = self.ids(data, iter(self.stories.values()))
        assert story is not None
        node = story.runner if at_the_runner else story.placer
        if at_the_runner and not story.ran:
            return
        story.aborted_at.add(node)
        effects = self.boards[node].abort(story.call.id, Cancelled("ABORTED", "changed my mind"))
        self.carry_out(node, effects)

    @precondition(lambda self: len(self.stories) > 5 and self.up)
    @rule(data=st.data())
    def a_link_is_cut(self, data: st.DataObject) -> None:
        link = data.draw(st.sampled_from(sorted(self.up)))
        self.up.discard(link)
        self.carried.discard(link)
        for node in LINKS[link]:
            self.wires[node, link].clear()
            self.late[node, link].clear()
            self.unnoticed.add((node, link))

    @precondition(lambda self: self.unnoticed)
    @rule(data=st.data())
    def a_cut_is_noticed(self, data: st.DataObject) -> None:
        self.notice(*data.draw(st.sampled_from(sorted(self.unnoticed))))

    @precondition(lambda self: set(LINKS) - self.up - {link for _, link in self.unnoticed})
    @rule(data=st.data())
    def a_link_comes_back(self, data: st.DataObject) -> None:
        back = set(LINKS) - self.up - {link for _, link in self.unnoticed}
        link = data.draw(st.sampled_from(sorted(back)))
        self.up.add(link)
        self.carried.add(link)
        self.life[link] += 1
        for node in LINKS[link]:
            self.asked[node, link] = 0
            self.ledgers[node, link] = keeping()

    # Wires.

    @precondition(lambda self: self.carried)
    @rule(data=st.data())
    def a_wire_breaks(self, data: st.DataObject) -> None:
        """What it still had is late, if it comes at all."""
        link = data.draw(st.sampled_from(sorted(self.carried)))
        self.carried.discard(link)
        self.outdate(link)

    @precondition(lambda self: self.up)
    @rule(data=st.data(), welcome_is_lost=st.booleans())
    def a_connection_is_resumed(self, data: st.DataObject, welcome_is_lost: bool) -> None:
        """With or without both ends knowing that the wire before is no good."""
        link = data.draw(st.sampled_from(sorted(self.up)))
        self.go_on(link, welcome_is_lost=welcome_is_lost)

    @precondition(lambda self: any(self.late.values()))
    @rule(data=st.data())
    def a_late_frame_arrives(self, data: st.DataObject) -> None:
        end = data.draw(st.sampled_from(sorted(end for end, late in self.late.items() if late)))
        ledger = self.ledgers[end]
        turn, text = self.late[end].popleft()
        if turn != ledger.turn or end[1] not in self.carried:
            before = ledger.heard
            if turn != ledger.turn:
                assert not ledger.hear(turn, len(text)), "resume 2: fenced wires are not heard"
            assert ledger.heard == before

    def outdate(self, link: LinkId) -> None:
        for node in LINKS[link]:
            self.late[node, link].extend(self.wires[node, link])
            self.wires[node, link].clear()

    def go_on(self, link: LinkId, *, welcome_is_lost: bool) -> None:
        [dialler] = [node for node in LINKS[link] if node != HUB]
        near, far = self.ledgers[dialler, link], self.ledgers[HUB, link]
        self.outdate(link)
        self.carried.discard(link)
        near.fence()
        said = near.heard
        far.check_resume(said)
        far.fence()
        heard = far.heard
        far.resume(said)
        if welcome_is_lost:
            far.take(ALL)
            return
        near.resume(heard)
        self.carried.add(link)
        for node in LINKS[link]:
            self.write(node, link)

    def write(self, node: str, link: LinkId) -> None:
        """What waits leaves, where a wire takes it."""
        if link in self.carried:
            far = far_end(link, node)
            turn = self.ledgers[far, link].turn
            for text in self.ledgers[node, link].take(ALL):
                self.wires[far, link].append((turn, text))

    def hear(self, node: str, link: LinkId) -> Frame | None:
        """The next frame of the wire; None for an ack."""
        turn, text = self.wires[node, link].popleft()
        ledger = self.ledgers[node, link]
        if text.startswith(b"ack"):
            ledger.acknowledge(int(text[3:]))
            return None
        assert ledger.hear(turn, len(text)), "resume 1: the newest wire is heard"
        if ledger.owes_ack():
            ledger.say_loose([b"ack%d" % ledger.told()])
            self.write(node, link)
        return self.said[int(text)]

    # Lies: none of them may touch a call that is not the liar's.

    @precondition(lambda self: any(story.ran for story in self.stories.values()))
    @rule(data=st.data(), link=st.sampled_from(sorted(LINKS)), n=st.integers(1, 3))
    def a_stranger_speaks_of_a_call(self, data: st.DataObject, link: LinkId, n: int) -> None:
        story = self.ids(data, iter(self.stories.values()))
        assert story is not None
        node, id = data.draw(st.sampled_from(LINKS[link])), story.call.id
        before = self.boards[node].in_flight()
        if node != story.placer or link != story.link or story.answered:
            for lie in (Reply(id, "lie"), Item(id, story.items_read + 1, "lie")):
                effects = self.boards[node].receive(link, lie)
                assert [type(effect) for effect in effects] == [Accuse], "a lie is an accusation"
        if node != story.runner or link != story.link or story.settled:
            for wish in (Abort(id, "lie"), Credit(id, n)):
                assert self.boards[node].receive(link, wish) == [], "promise 3: not theirs to abort"
        if not story.refused:
            assert self.boards[story.placer].settle(Reply(id, "lie")) == [], "not ours to answer"
        assert self.boards[node].in_flight() == before

    @precondition(lambda self: any(story.ran for story in self.stories.values()))
    @rule(data=st.data(), gap=st.sampled_from([-1, 0, 2, 5]))
    def the_callee_skips_or_repeats_an_item(self, data: st.DataObject, gap: int) -> None:
        story = self.ids(data, iter(self.stories.values()))
        assert story is not None
        if not story.refused and not story.answered and self.whole(story):
            item = Item(story.call.id, story.items_read + gap, "lie")
            if not self.may_be_stopped(story):  # else the model does not count what was dropped
                effects = self.boards[story.placer].receive(story.link, item)
                assert [type(effect) for effect in effects] == [Accuse], "items without a gap"

    @precondition(lambda self: any(story.ran for story in self.stories.values()))
    @rule(data=st.data())
    def an_id_is_used_again(self, data: st.DataObject) -> None:
        story = self.ids(data, (story for story in self.stories.values() if story.ran))
        assert story is not None
        link = story.link
        if link not in self.up or not self.whole(story) or story.settled:
            return
        if self.boards[story.runner].in_flight() >= {story.call.id}:
            effects = self.boards[story.runner].receive(link, story.call)
            [effect] = effects
            assert isinstance(effect, Send) and isinstance(effect.frame, Fault)
            assert effect.link == link and effect.frame.id is None, "not an answer to the first"
            assert effect.frame.error.reason == "DUPLICATE_ID"

    # The world goes on.

    def deliver_one(self, node: str, link: LinkId) -> None:
        frame = self.hear(node, link)
        if frame is None:
            return
        expected: list[Effect] | None = None
        if isinstance(frame, Call):
            story = self.stories[frame.id]
            story.busy = self.asked[node, link] >= MOST
            self.asked[node, link] += not story.busy
            if not story.busy:
                expected = [Run(link, frame)]
        if isinstance(frame, Credit):
            story = self.stories[frame.id]
            if story.granted is not None and not story.settled:
                story.granted += frame.n
                expected = [GoOn(frame.id)]
        effects = self.boards[node].receive(link, frame)
        assert expected is None or effects == expected
        if isinstance(frame, Call) and self.stories[frame.id].busy:
            [effect] = effects
            assert isinstance(effect, Send) and isinstance(effect.frame, Fault), "limit in flight"
            assert isinstance(effect.frame.error, ResourceExhausted)
        self.carry_out(node, effects)

    def notice(self, node: str, link: LinkId) -> None:
        self.unnoticed.discard((node, link))
        effects = self.boards[node].lose(link)
        self.carry_out(node, effects)
        for story in self.stories.values():
            if (story.runner, story.link) == (node, link) and not self.whole(story):
                stopped = story.stopped or not story.running
                assert stopped or story.call.detach, "promise 3: a lost caller aborts"
            if (story.placer, story.link) == (node, link) and not self.whole(story):
                assert story.answered, "promise 1: a lost link fails its calls"

    def deliver_everything(self) -> None:
        while self.unnoticed or any(self.wires.values()) or self.up - self.carried:
            for link in sorted(self.up - self.carried):
                self.go_on(link, welcome_is_lost=False)
            for node, link in sorted(self.unnoticed):
                self.notice(node, link)
            for place, wire in self.wires.items():
                if wire:
                    self.deliver_one(*place)
        for story in self.stories.values():
            if story.running and self.must_be_stopped(story):
                assert story.stopped, "promise 3: every call below it"
        for (_, link), ledger in self.ledgers.items():
            if link in self.up:
                longest = len(b"%d" % len(self.said))
                assert ledger.size < ACKED * longest, "resume 3: what was acknowledged is forgotten"

    def finish(self, story: Story, *, succeeds: bool) -> None:
        id = story.call.id
        again = story.said is not None
        word = Reply(id, "done") if succeeds else Fault(id, Internal("FAILED", "it went wrong"))
        if not again:
            story.said = word
        effects = self.boards[story.runner].settle(word)
        if again:
            assert effects == [], "promise 1: said twice, heard once"
        self.carry_out(story.runner, effects)

    def teardown(self) -> None:
        try:
            self.deliver_everything()
            while running := [story for story in self.stories.values() if story.running]:
                self.finish(running[0], succeeds=True)
                self.deliver_everything()
            for node, board in self.boards.items():
                assert not board.in_flight(), f"promise 1: {node} still owes an answer"
            for story in self.stories.values():
                assert len(story.answered) == 1, "promise 1: every call is answered"
        finally:
            for patch in self.patches:
                patch.stop()


THOROUGH = settings(max_examples=200, stateful_step_count=50, deadline=None)
#: For the mutants: the same runs each time, and no search for the smallest one.
BRISK = settings(
    THOROUGH, derandomize=True, database=None, phases=[Phase.generate], print_blob=False
)

TestNetwork = Network.TestCase
TestNetwork.settings = BRISK if "COORD_MUTANT" in os.environ else THOROUGH
