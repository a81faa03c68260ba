"""Connections that go on over another wire: nothing lost, nothing twice, nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

import pytest

from protocol.aio.greeting import greet
from protocol.aio.node import Context, Handler, Node
from protocol.errors import CallError, DeadlineExceeded, FailedPrecondition, LinkLost
from protocol.frames import Ack, Mode, Notice, write
from protocol.handshake import INITIALIZE, Hello, Limits, Welcome
from protocol.limits import CLOSE_VIOLATION, PROTOCOL_VERSION, STREAM_HIGH_WATER_BYTES
from protocol.resume import Turn
from protocol.switchboard import LinkId
from tests.shell.test_node import Gate, counting, forever, holds, later, read_all, settled
from tests.support.pipe import End, pipe

__all__ = ["later"]  # a fixture

HERE = LinkId("here")

pytestmark = pytest.mark.timeout(60)  # what is lost here is waited for, for ever


class Pair:
    """A caller and a callee, and one connection between them, over a wire after the other."""

    def __init__(self, handlers: dict[str, Handler]) -> None:
        self.caller, self.callee = Node(), Node(handlers)
        self.ends: tuple[End, End] = pipe()
        self.serving: set[asyncio.Task[None]] = set()
        for node in (self.caller, self.callee):
            node.lines.open(HERE)
            node.lines.keep(HERE)

    def join(self) -> None:
        """A wire, for the first time."""
        self.ends = pipe()
        self._serve(self.caller, self.ends[0], None, 0)
        self._serve(self.callee, self.ends[1], None, 0)

    def rejoin(self) -> None:
        """Another wire. The old one may still be up at either end, and neither may know."""
        self.ends = pipe()
        near, said = self.caller.lines.fence(HERE)
        far, heard = self.callee.lines.fence(HERE, said)
        self._serve(self.caller, self.ends[0], near, heard)
        self._serve(self.callee, self.ends[1], far, said)

    def _serve(self, node: Node, end: End, turn: Turn | None, heard: int) -> None:
        async def serve() -> None:
            with contextlib.suppress(FailedPrecondition):  # the next wire was quicker
                await node.lines.serve(HERE, end, turn=turn, heard=heard)

        task = asyncio.create_task(serve())
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)


@contextlib.asynccontextmanager
async def pair(handlers: dict[str, Handler]) -> AsyncIterator[Pair]:
    both = Pair(handlers)
    both.join()
    await settled()
    try:
        async with asyncio.timeout(25):
            yield both
    finally:
        for node in (both.caller, both.callee):
            node.lose(HERE)
        await holds(lambda: not both.caller.in_flight() and not both.callee.in_flight())
        await holds(lambda: not both.serving)


async def test_calls_that_are_open_are_answered_over_the_next_wire() -> None:
    gate = Gate()
    async with pair({"op": gate, "quick": counting(0)}) as both:
        call = asyncio.create_task(both.caller.ask(HERE, "op"))
        await gate.began.wait()
        both.ends[0].cut()
        later = asyncio.create_task(both.caller.ask(HERE, "quick"))
        gate.open.set()
        await settled()
        assert not call.done() and not later.done(), "answered, and kept"
        both.rejoin()
        assert await call == "through"
        assert await later == "end", "placed while there was no wire"


async def test_a_half_open_link_gives_way_and_is_not_heard() -> None:
    """The caller comes back while the callee still believes in the old wire."""
    gate = Gate()
    async with pair({"op": gate}) as both:
        call = asyncio.create_task(both.caller.ask(HERE, "op"))
        await gate.began.wait()
        old = both.ends[1]
        both.rejoin()
        await settled()
        old._over = False
        old.inject('{"jsonrpc":"2.0","id":"late","method":"op","params":{}}')
        await settled()
        assert len(both.callee.in_flight()) == 1, "what the old wire brings is nobody's"
        gate.open.set()
        assert await call == "through"


async def test_an_abort_that_was_lost_arrives() -> None:
    gate = Gate()
    async with pair({"op": gate}) as both:
        call = asyncio.create_task(both.caller.ask(HERE, "op"))
        await gate.began.wait()
        both.ends[0].cut()
        call.cancel()
        await settled()
        assert not gate.ended.is_set()
        both.rejoin()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert gate.ended.is_set()


async def test_a_stream_is_cut_again_and_again_and_misses_nothing() -> None:
    chance = random.Random(5)
    async with pair({"op": counting(5_000)}) as both:
        items: list[object] = []
        ends: list[object] = []

        async def read() -> None:
            async for item in both.caller.stream(HERE, "op", credit=16, on_end=ends.append):
                items.append(item)

        reading = asyncio.create_task(read())
        cuts = 0
        while not reading.done():
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            cuts += 1
            if chance.random() < 0.7:
                both.ends[chance.randrange(2)].cut()
            both.rejoin()
        await reading
        assert items == list(range(1, 5_001)) and ends == ["end"]
        assert cuts > 100


async def test_many_calls_over_many_wires_are_each_run_and_answered_once() -> None:
    chance = random.Random(9)
    ran: list[object] = []

    async def handler(context: Context) -> object:
        ran.append(context.call.params["n"])
        for _ in range(chance.randrange(9)):
            await asyncio.sleep(0)
        return context.call.params["n"]

    async with pair({"op": handler}) as both:
        calls = [asyncio.create_task(both.caller.ask(HERE, "op", {"n": n})) for n in range(250)]
        while not all(call.done() for call in calls):
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
            both.rejoin()
            for _ in range(20):
                await asyncio.sleep(0)
        assert [call.result() for call in calls] == list(range(250))
        assert sorted(map(str, ran)) == sorted(map(str, range(250))), "never twice"


async def test_a_stream_without_a_wire_stops_at_a_fixed_bound() -> None:
    sent = 0
    large = "x" * 100_000

    async def handler(context: Context) -> None:
        nonlocal sent
        while True:
            await context.emit(large)
            sent += 1

    async with pair({"op": handler}) as both:
        reading = both.caller.stream(HERE, "op", credit=1_000)
        await anext(reading)
        both.ends[0].cut()
        await settled()
        before = sent
        await settled()
        assert sent == before
        assert both.callee.lines[HERE].ledger.size <= STREAM_HIGH_WATER_BYTES + 2 * len(large)
        both.rejoin()
        await anext(reading)
        await reading.aclose()


async def test_a_long_stream_is_acknowledged_and_forgotten() -> None:
    async with pair({"op": counting(2_000)}) as both:
        async for _ in both.caller.stream(HERE, "op"):
            pass
        await settled()
        assert both.callee.lines[HERE].ledger.size < 16_384
        assert both.caller.lines[HERE].ledger.size < 16_384


async def test_a_connection_that_is_given_up_settles_all() -> None:
    gate = Gate()
    async with pair({"op": gate, "keep": forever}) as both:
        call = asyncio.create_task(both.caller.ask(HERE, "op"))
        await gate.began.wait()
        both.ends[0].cut()
        await settled()
        both.callee.lose(HERE)
        await gate.ended.wait()
        with pytest.raises(FailedPrecondition, match="RESUME_EXPIRED"):
            both.callee.lines.fence(HERE)
        both.caller.lose(HERE, LinkLost("RESUME_EXPIRED", "gone"))
        with pytest.raises(LinkLost, match="RESUME_EXPIRED"):
            await call


async def test_what_is_kept_for_nobody_does_not_grow_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("protocol.aio.link.MAX_KEPT_BYTES", 100_000)
    async with pair({"op": forever}) as both:
        both.ends[0].cut()
        await settled()
        call = asyncio.create_task(both.caller.ask(HERE, "op"))
        for _ in range(120):
            both.caller.say(HERE, Notice("n", {"a": "x" * 1_000}))
            await asyncio.sleep(0)
        assert not both.caller.attached(HERE)
        with pytest.raises(LinkLost):
            await call


async def test_to_have_heard_more_than_was_said_ends_the_link() -> None:
    async with pair({"op": forever}) as both:
        near = both.ends[1]
        near.inject(write(Ack(7)).decode())
        await holds(lambda: near.closed)
        assert near.closed is not None and near.closed[0] == CLOSE_VIOLATION


async def test_the_later_of_two_that_resume_has_it() -> None:
    async with asyncio.TaskGroup() as group, pair({"op": counting(0)}) as both:
        lines = both.callee.lines
        first, _ = lines.fence(HERE, 0)
        second, _ = lines.fence(HERE, 0)
        ends: dict[str, tuple[End, End]] = {}
        for name in ("first", "second"):
            id = LinkId(name)
            lines.open(id)
            ends[name] = pipe()
            group.create_task(lines.serve(id, ends[name][0]))
        await settled()
        with pytest.raises(FailedPrecondition, match="RESUME_EXPIRED"):
            lines.hand_over(LinkId("first"), HERE, first, 0)
        lines.hand_over(LinkId("second"), HERE, second, 0)
        far = ends["second"][1]
        both.callee.say(HERE, Notice("n", {}))
        assert await far.take() == ['{"jsonrpc":"2.0","method":"n","params":{}}']
        assert not both.callee.attached(LinkId("second"))
        both.callee.lose(LinkId("first"))


# Modes of an abort.


@pytest.mark.parametrize("mode", [Mode.KILL_NOWAIT, Mode.SKIP])
async def test_who_does_not_wait_is_answered_at_once(mode: Mode) -> None:
    stubborn = Gate()
    ended: list[str] = []

    async def handler(context: Context) -> None:
        try:
            await stubborn(context)
            ended.append("by itself")
        except asyncio.CancelledError:
            ended.append("aborted")
            raise

    async with pair({"op": handler}) as both:
        call = asyncio.create_task(both.caller.ask(HERE, "op"))
        await stubborn.began.wait()
        [id] = both.caller.in_flight()
        both.caller.abort(id, CallError("ABORTED", "enough"), mode)
        with pytest.raises(CallError, match=r"ABORTED|SKIPPED"):
            await call
        assert not ended, "answered before it ended"
        await settled()
        stubborn.open.set()
        await holds(lambda: ended)
        assert ended == ["aborted" if mode is Mode.KILL_NOWAIT else "by itself"]
        await holds(lambda: not both.caller.in_flight())


# Idle streams, calls that continue, and races.


async def test_a_stream_without_items_is_over_after_a_while(
    later: Callable[[float], None],
) -> None:
    async def handler(context: Context) -> None:
        await context.emit("one")
        await forever(context)

    async with pair({"op": handler}) as both:
        items: list[object] = []
        reading = asyncio.create_task(read_all(both.caller.stream(HERE, "op", idle=5), items))
        await holds(lambda: items)
        later(6)
        with pytest.raises(DeadlineExceeded, match="IDLE"):
            await reading
        assert items == ["one"]


async def test_a_stream_that_waits_for_its_reader_is_not_idle(
    later: Callable[[float], None],
) -> None:
    async with pair({"op": counting(3)}) as both:
        stream = both.caller.stream(HERE, "op", credit=1, idle=5)
        items = [await anext(stream)]
        await settled()
        later(6)  # the reader takes its time
        await settled()
        items += [item async for item in stream]
        assert items == [1, 2, 3]


async def test_a_deadline_holds_while_there_is_no_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.aio.placed.LATE_SECONDS", 0.0)
    async with pair({"op": forever}) as both:
        both.ends[0].cut()
        with pytest.raises(DeadlineExceeded):
            await both.caller.ask(HERE, "op", within=0.02)
        assert both.caller.in_flight(), "the far side is told as soon as it can be"
        both.rejoin()
        await holds(lambda: not both.caller.in_flight() and not both.callee.in_flight())


@pytest.mark.parametrize("continues", [False, True])
async def test_only_the_composing_handler_lets_a_call_continue(continues: bool) -> None:
    gate = Gate()
    there, back = LinkId("there"), LinkId("back")

    async def compose(context: Context) -> object:
        return await context.ask(there, "work", {}, continue_running=continues)

    async with pair({"op": compose}) as both:
        worker = Node({"work": gate})
        near, far = pipe()
        async with asyncio.TaskGroup() as group:
            group.create_task(both.callee.attach(there, near))
            group.create_task(worker.attach(back, far))
            await holds(lambda: both.callee.attached(there) and worker.attached(back))
            call = asyncio.create_task(both.caller.ask(HERE, "op"))
            await gate.began.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert gate.ended.is_set() is not continues
            gate.open.set()
            await holds(lambda: not both.callee.in_flight() and not worker.in_flight())
            near.cut()


async def test_a_thousand_aborts_against_nested_calls_leave_no_survivor() -> None:
    """A call is aborted while its handler places others below it, and those place more."""
    chance = random.Random(3)
    running: set[object] = set()

    async def nest(context: Context) -> object:
        depth = context.call.params["depth"]
        running.add(context.call.id)
        try:
            if isinstance(depth, int) and depth:
                for _ in range(chance.randrange(3)):
                    await asyncio.sleep(0)
                async with asyncio.TaskGroup() as group:
                    for _ in range(2):
                        group.create_task(context.ask(HERE, "nest", {"depth": depth - 1}))
            await asyncio.sleep(0)
        finally:
            running.discard(context.call.id)
        return "done"

    async with pair({"nest": nest}) as both:
        both.caller._handlers["nest"] = nest  # each calls the other, as hub and spoke do

        async def race() -> None:
            call = asyncio.create_task(both.caller.ask(HERE, "nest", {"depth": 2}))
            for _ in range(chance.randrange(14)):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled() or call.result() == "done"

        for _ in range(50):
            await asyncio.gather(*(race() for _ in range(20)))
            assert not running, "no survivor"
            assert not both.caller.in_flight() and not both.callee.in_flight()


async def test_two_that_greet_one_node_at_the_same_moment_are_both_answered() -> None:
    met = asyncio.Barrier(2)

    async def welcome(_: Context) -> object:
        await met.wait()
        return Welcome(
            protocol_version=PROTOCOL_VERSION,
            hub_id="hub",
            hub_version="0",
            connection_id="cn",
            principal="p",
            role="operator",
            limits=Limits(max_message_bytes=1, max_in_flight=1),
            heartbeat_ms=1,
            lease_ms=1,
        )

    node, far = Node({INITIALIZE: welcome}), [pipe(), pipe()]
    for n in range(2):
        node.lines.open(LinkId(f"{n}"))
    serving = [
        asyncio.create_task(node.lines.serve(LinkId(f"{n}"), ends[1])) for n, ends in enumerate(far)
    ]
    hello = Hello(protocol_version=PROTOCOL_VERSION, role="client", name="t", version="0")
    said = await asyncio.gather(*(greet(ends[0], hello) for ends in far))
    assert [one.hub_id for one in said] == ["hub", "hub"]
    for ends in far:
        ends[0].cut()
    await asyncio.gather(*serving)
