"""The node carries out the switchboard's effects, whatever the event loop does in between.

Links are pipes in memory; time is the loop's own, and nothing here waits for it to pass except
where a deadline is what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from protocol.aio import link as link_room
from protocol.aio import placed
from protocol.aio.carrier import FAIRNESS
from protocol.aio.node import Context, Handler, Node
from protocol.errors import (
    CallError,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    LinkLost,
    NotFound,
    ResourceExhausted,
    Unimplemented,
)
from protocol.frames import Abort, Call, CallId, Credit, Frame, Goaway, Item, Notice, Reply, write
from protocol.limits import (
    CLOSE_BAD_DATA,
    CLOSE_FLOOD,
    CLOSE_SLOW,
    CLOSE_VIOLATION,
    MAX_FRAME_BYTES,
    STREAM_HIGH_WATER_BYTES,
)
from protocol.switchboard import LinkId
from tests.support.pipe import End, pipe

PEER = LinkId("peer")
OTHER = LinkId("other")


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[BlockBuster]:
    with blockbuster_ctx() as blocking:
        yield blocking


async def holds(condition: Callable[[], object]) -> None:
    """Wait until it does."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


async def settled() -> None:
    """Let everything that can happen now happen."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture
async def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets the clock of the loop be so many seconds further on, at a moment that the test chooses:
    how long the machine took to get there does not matter."""
    loop, ahead = asyncio.get_running_loop(), [0.0]
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + sum(ahead))
    return ahead.append


async def forever(context: Context) -> None:
    await asyncio.Event().wait()


async def echo(context: Context) -> object:
    return context.call.params


class Gate:
    """A handler that says when it began and ended, and goes on when told to."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.open = asyncio.Event()
        self.ended = asyncio.Event()
        self.call: Call | None = None

    async def __call__(self, context: Context) -> object:
        self.call = context.call
        self.began.set()
        try:
            await self.open.wait()
        finally:
            self.ended.set()
        return "through"


@contextlib.asynccontextmanager
async def serving(*attached: tuple[Node, LinkId, End]) -> AsyncIterator[None]:
    """The links are served meanwhile; afterwards nothing is in flight and no task is left."""
    before = asyncio.all_tasks()
    async with asyncio.TaskGroup() as group:
        for node, id, end in attached:
            group.create_task(node.attach(id, end))
        await holds(lambda: all(node.attached(id) for node, id, _ in attached))
        try:
            yield
        finally:
            for _, _, end in attached:
                end.cut()
    for node, _, _ in attached:
        await holds(lambda node=node: not node.in_flight())
    await holds(lambda: asyncio.all_tasks() == before)


@contextlib.asynccontextmanager
async def two(
    handlers: dict[str, Handler] | None = None, **options: Any
) -> AsyncIterator[tuple[Node, Node, End]]:
    """A caller and a callee, joined by a link called PEER."""
    here, there = pipe()
    caller, callee = Node(), Node(handlers, **options)
    async with serving((caller, PEER, here), (callee, PEER, there)):
        yield caller, callee, there


@contextlib.asynccontextmanager
async def one(
    handlers: dict[str, Handler] | None = None, **options: Any
) -> AsyncIterator[tuple[Node, End, End]]:
    """A node, its end of the wire, and the other end in our hands."""
    near, far = pipe()
    node = Node(handlers, **options)
    async with serving((node, PEER, near)):
        yield node, near, far


def text(frame: Frame) -> str:
    return write(frame).decode()


def asked(id: str, op: str = "op", **options: Any) -> str:
    return text(Call(CallId(id), op, {}, **options))


async def answers(far: End, count: int = 1) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        return [json.loads(message) for message in await far.take(count)]


def said(answer: dict[str, Any]) -> str:
    """`ok`, or the reason of the error."""
    return answer["error"]["data"]["reason"] if "error" in answer else "ok"


# Calls and aborts.


async def test_an_abort_before_the_first_step_is_still_answered() -> None:
    """PROTOCOL trap 1: a task cancelled before its first step never runs."""
    ids = [f"{n}" for n in range(250)]
    began = 0

    async def handler(context: Context) -> None:
        nonlocal began
        began += 1
        await forever(context)

    async with one({"op": handler}) as (node, near, far):
        for _ in range(2):  # 500 in all, within the limit in flight
            for id in ids:
                near.inject(asked(id), text(Abort(CallId(id), "at once")))
            got = await answers(far, len(ids))
            assert sorted(answer["id"] for answer in got) == sorted(ids)
            assert {said(answer) for answer in got} == {"ABORTED"}
            assert {answer["error"]["code"] for answer in got} == {-32800}
        assert not node.in_flight()


async def test_the_reader_never_awaits_a_handler() -> None:
    """PROTOCOL trap 3: what is not read cannot be a pong, an abort or an answer."""
    gate = Gate()
    async with one({"slow": gate, "quick": echo}) as (_node, near, far):
        near.inject(asked("1", "slow"), asked("2", "quick"))
        assert [answer["id"] for answer in await answers(far)] == ["2"]
        near.inject(text(Abort(CallId("1"), "now")), asked("3", "quick"))
        assert {answer["id"] for answer in await answers(far, 2)} == {"1", "3"}


async def test_a_cut_link_fails_its_calls() -> None:
    gate = Gate()
    async with two({"op": gate}) as (caller, _callee, there):
        call = asyncio.create_task(caller.ask(PEER, "op"))
        await gate.began.wait()
        there.cut()
        with pytest.raises(LinkLost, match="LINK_LOST") as lost:
            await call
        assert lost.value.retryable
        await gate.ended.wait()
        await holds(lambda: not caller.attached(PEER))
        with pytest.raises(LinkLost):
            await caller.ask(PEER, "op")
        caller.say(PEER, Notice("n", {}))  # nothing happens


async def test_detached_work_survives_its_link() -> None:
    gate, stopped = Gate(), Gate()
    handlers: dict[str, Handler] = {"keep": gate, "stop": stopped}
    async with one(handlers, detaches=lambda op: op == "keep") as (node, near, far):
        near.inject(asked("1", "keep"), asked("2", "stop"), asked("3", "keep", detach=False))
        await holds(lambda: len(node.in_flight()) == 3)
        await stopped.began.wait()
        far.cut()
        await holds(lambda: node.in_flight() == {"1"})
        gate.open.set()


async def test_an_unknown_operation_says_so() -> None:
    async with two({"op": echo}) as (caller, _callee, _there):
        for op in ("no.such", "__class__", "coord.__init__", "$/unheard", "x" * 10_000, "\x1b[2J"):
            with pytest.raises(Unimplemented, match="UNKNOWN_METHOD") as error:
                await caller.ask(PEER, op)
            assert len(error.value.message) < 100 and error.value.message.isprintable()
        assert await caller.ask(PEER, "op", {"a": 1}) == {"a": 1}


async def test_a_crash_is_ours_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()

    async def crash(context: Context) -> None:
        raise RuntimeError("the password is swordfish")

    async def refuse(context: Context) -> None:
        raise NotFound("NO_SESSION", "no such session", advice="look", details={"id": "x"})

    async with two({"crash": crash, "wait": gate, "refuse": refuse}) as (caller, _callee, _there):
        waiting = asyncio.create_task(caller.ask(PEER, "wait"))
        await gate.began.wait()
        with pytest.raises(Internal, match="CRASHED") as error:
            await caller.ask(PEER, "crash")
        assert "swordfish" not in str(error.value) + str(error.value.details)
        assert "swordfish" in caplog.text, "the log has the story"
        with pytest.raises(NotFound, match="NO_SESSION") as refused:
            await caller.ask(PEER, "refuse")
        assert (refused.value.advice, refused.value.details) == ("look", {"id": "x"})
        gate.open.set()
        assert await waiting == "through", "the others are unaffected"


# Deadlines, and calls on behalf of calls.


@contextlib.asynccontextmanager
async def chain(
    spoke: dict[str, Handler], within: float | None = None
) -> AsyncIterator[tuple[Node, Node, Node]]:
    """client -> hub -> spoke; the hub's `op` asks the spoke's."""

    async def forward(context: Context) -> object:
        return await context.ask(OTHER, "op", context.call.params, within=within)

    client_end, hub_end = pipe()
    hub_far, spoke_end = pipe()
    client, hub, hands = Node(), Node({"op": forward}), Node(spoke)
    async with serving(
        (client, PEER, client_end),
        (hub, PEER, hub_end),
        (hub, OTHER, hub_far),
        (hands, PEER, spoke_end),
    ):
        yield client, hub, hands


async def test_a_nested_call_has_what_remains_of_its_parent() -> None:
    gate = Gate()
    async with chain({"op": gate}, within=3_600) as (client, _hub, _spoke):
        call = asyncio.create_task(client.ask(PEER, "op", within=60))
        await gate.began.wait()
        assert gate.call is not None and gate.call.timeout_ms is not None
        assert 0 < gate.call.timeout_ms <= 60_000
        gate.open.set()
        assert await call == "through"
        gate.began.clear()
        call = asyncio.create_task(client.ask(PEER, "op"))
        await gate.began.wait()
        assert gate.call.timeout_ms == 3_600_000, "its own, where the parent has none"
        await call


async def test_a_deadline_ends_the_call_and_tells_the_callee(
    later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placed, "LATE_SECONDS", 60.0)  # the callee is there, and says so itself
    gate = Gate()
    async with chain({"op": gate}) as (client, hub, spoke):
        call = asyncio.create_task(client.ask(PEER, "op", within=5))
        await gate.began.wait()
        later(6)
        with pytest.raises(DeadlineExceeded, match="DEADLINE_EXCEEDED"):
            await call
        assert gate.ended.is_set(), "nothing of it runs any more when it is answered"
        assert not client.in_flight() and not hub.in_flight() and not spoke.in_flight()


async def test_a_cancelled_wait_aborts_what_is_below() -> None:
    gate = Gate()
    async with chain({"op": gate}) as (client, hub, spoke):
        call = asyncio.create_task(client.ask(PEER, "op"))
        await gate.began.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert gate.ended.is_set(), "confirmed: the wait ends when the work has"
        assert not client.in_flight() and not hub.in_flight() and not spoke.in_flight()


async def test_a_caller_who_gives_up_twice_does_not_wait() -> None:
    stubborn = asyncio.Event()

    async def handler(context: Context) -> str:
        while not stubborn.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await stubborn.wait()
        return "done all the same"

    async with two({"op": handler}) as (caller, callee, _there):
        call = asyncio.create_task(caller.ask(PEER, "op"))
        await holds(callee.in_flight)
        call.cancel()
        await settled()
        assert not call.done(), "it waits for the confirmed answer"
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        stubborn.set()
        await holds(lambda: not caller.in_flight())


async def test_an_answer_that_won_the_race_is_the_answer() -> None:
    async def handler(context: Context) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "finished anyway"
        raise AssertionError

    async with one({"op": handler}) as (node, near, far):
        near.inject(asked("1"))
        await holds(node.in_flight)
        await settled()
        near.inject(text(Abort(CallId("1"))))
        [answer] = await answers(far)
        assert answer["result"] == "finished anyway"


async def test_abort_against_answer_a_thousand_times() -> None:
    """Each call has exactly one answer, whichever won; nothing is left behind."""
    chance = random.Random(7)

    async def handler(context: Context) -> str:
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
        return "done"

    async with chain({"op": handler}) as (client, hub, spoke):

        async def race() -> str:
            call = asyncio.create_task(client.ask(PEER, "op"))
            for _ in range(chance.randrange(25)):
                await asyncio.sleep(0)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                return str(await call)
            return "aborted"

        for _ in range(10):
            ends = await asyncio.gather(*(race() for _ in range(100)))
            assert set(ends) <= {"done", "aborted"}
            assert not client.in_flight() and not hub.in_flight() and not spoke.in_flight()


async def test_abort_against_answer_on_the_wire() -> None:
    """The same race, counted in frames: 1,000 requests, 1,000 answers, one for each id."""
    chance = random.Random(11)

    async def handler(context: Context) -> str:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        return "done"

    async with one({"op": handler}) as (_node, near, far):
        seen: list[str] = []
        for batch in range(10):
            ids = [f"{batch}.{n}" for n in range(100)]
            for id in ids:
                near.inject(asked(id))
                if chance.random() < 0.5:
                    await asyncio.sleep(0)
                near.inject(text(Abort(CallId(id))))
            seen += [answer["id"] for answer in await answers(far, 100)]
        assert len(seen) == len(set(seen)) == 1_000
        await settled()
        near.inject(asked("last"))
        assert [answer["id"] for answer in await answers(far)] == ["last"], "and no more came"


# Streams.


def counting(to: int, *, end: object = "end") -> Handler:
    async def handler(context: Context) -> object:
        for n in range(1, to + 1):
            await context.emit(n)
        if isinstance(end, Exception):
            raise end
        return end

    return handler


async def read_all(stream: AsyncIterator[object], into: list[object]) -> None:
    async for item in stream:
        into.append(item)


async def test_a_stream_keeps_its_order_and_says_how_it_ended() -> None:
    async with two({"op": counting(1_000)}) as (caller, _callee, _there):
        for credit in (1, 2, 7, 64):
            ends: list[object] = []
            stream = caller.stream(PEER, "op", credit=credit, on_end=ends.append)
            assert [item async for item in stream] == list(range(1, 1_001))
            assert ends == ["end"]


async def test_the_error_of_a_stream_comes_after_its_items() -> None:
    broken = FailedPrecondition("BROKEN", "half way")
    async with two({"op": counting(10, end=broken)}) as (caller, _callee, _there):
        items: list[object] = []
        ends: list[object] = []
        stream = caller.stream(PEER, "op", credit=3, on_end=ends.append)
        with pytest.raises(FailedPrecondition, match="BROKEN"):
            await read_all(stream, items)
        assert items == list(range(1, 11)) and not ends


async def test_a_fast_stream_is_not_a_flood() -> None:
    """One credit for each item, many more than a link may send of what means nothing."""
    many = int(link_room.JUNK_BURST) * 3
    async with two({"op": counting(many)}) as (caller, _callee, there):
        count = 0
        async for _ in caller.stream(PEER, "op", credit=1):
            count += 1
        assert count == many
        assert there.closed is None


async def test_leaving_a_stream_early_aborts_it() -> None:
    ended = asyncio.Event()

    async def handler(context: Context) -> None:
        try:
            while True:
                await context.emit("more")
        finally:
            ended.set()

    async with two({"op": handler}) as (caller, callee, _there):
        async with contextlib.aclosing(caller.stream(PEER, "op", credit=4)) as stream:
            async for _ in stream:
                break
        assert ended.is_set(), "confirmed when the reader has left"
        assert not caller.in_flight() and not callee.in_flight()


async def test_a_cancel_while_leaving_a_stream_is_felt() -> None:
    release = asyncio.Event()

    async def handler(context: Context) -> None:
        await context.emit("one")
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    left = asyncio.Event()

    async def read(caller: Node) -> None:
        async with contextlib.aclosing(caller.stream(PEER, "op")) as stream:
            async for _ in stream:
                left.set()
                break
        raise AssertionError("it was cancelled while it left")

    async with two({"op": handler}) as (caller, _callee, _there):
        reader = asyncio.create_task(read(caller))
        await left.wait()
        await settled()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        release.set()


async def test_a_slow_reader_holds_the_producer() -> None:
    sent = 0

    async def handler(context: Context) -> str:
        nonlocal sent
        for n in range(100):
            await context.emit(n)
            sent += 1
        return "end"

    async with two({"op": handler}) as (caller, _callee, _there):
        async with contextlib.aclosing(caller.stream(PEER, "op", credit=8)) as stream:
            taken = [await anext(stream)]
            await settled()
            assert sent == 8, "as many as were granted"
            async for item in stream:
                taken.append(item)
                assert sent <= len(taken) + 8
        assert taken == list(range(100))


async def test_several_tasks_of_a_handler_may_emit() -> None:
    async def handler(context: Context) -> None:
        async def speak(voice: int) -> None:
            for n in range(50):
                await context.emit([voice, n])

        async with asyncio.TaskGroup() as group:
            for voice in range(4):
                group.create_task(speak(voice))

    async with one({"op": handler}) as (_node, near, far):
        near.inject(asked("1", credit=3))
        got: list[Any] = []
        while len(got) < 200:
            frames = await answers(far, min(3, 200 - len(got)))
            await settled()
            got += [frame["params"]["value"] for frame in frames]
            near.inject(text(Credit(CallId("1"), 3)))
        for voice in range(4):
            assert [n for spoke, n in got if spoke == voice] == list(range(50))


async def test_no_item_beyond_the_credit() -> None:
    async with one({"op": counting(10)}) as (_node, near, far):
        near.inject(asked("1", credit=2))
        frames = await answers(far, 2)
        await settled()
        near.inject(asked("2", "quick"))
        [other] = await answers(far)
        assert other["id"] == "2", "nothing was sent in between"
        assert [frame["params"]["seq"] for frame in frames] == [1, 2]


async def test_a_full_link_holds_the_producer() -> None:
    sent = 0
    large = "x" * 100_000

    async def handler(context: Context) -> str:
        nonlocal sent
        for _ in range(60):
            await context.emit(large)
            sent += 1
        return "end"

    async with one({"op": handler}) as (_node, near, far):
        far.hold()
        near.inject(asked("1"))
        await settled()
        assert sent * len(large) <= STREAM_HIGH_WATER_BYTES + 2 * len(large)
        far.release()
        frames = await answers(far, 61)
        assert frames[-1]["result"] == "end" and sent == 60


@pytest.mark.parametrize("held", ["by credit", "by a full link"])
async def test_a_detached_producer_does_not_hang_when_its_link_goes(held: str) -> None:
    large = "x" * 300_000

    async def handler(context: Context) -> str:
        for _ in range(20):
            await context.emit(large)
        return "end"

    async with one({"op": handler}) as (node, near, far):
        far.hold()
        near.inject(asked("1", detach=True, credit=2 if held == "by credit" else None))
        await settled()
        assert node.in_flight()
        far.cut()
        await holds(lambda: not node.in_flight())


async def test_an_item_that_cannot_be_sent_ends_its_stream() -> None:
    def sending(value: object) -> Handler:
        async def handler(context: Context) -> None:
            await context.emit("fine")
            await context.emit(value)
            await forever(context)

        return handler

    handlers = {"junk": sending(object()), "large": sending("x" * MAX_FRAME_BYTES)}
    async with two(handlers) as (caller, _callee, _there):
        for op, kind, reason in (
            ("junk", Internal, "UNWRITABLE"),
            ("large", ResourceExhausted, "TOO_LARGE"),
        ):
            items: list[object] = []
            with pytest.raises(kind, match=reason):
                await read_all(caller.stream(PEER, op), items)
            assert items == ["fine"]


# What cannot be written or read.


async def test_an_answer_too_large_says_so() -> None:
    async def handler(context: Context) -> str:
        return "x" * MAX_FRAME_BYTES

    async with two({"op": handler, "echo": echo}) as (caller, _callee, _there):
        with pytest.raises(ResourceExhausted, match="TOO_LARGE") as error:
            await caller.ask(PEER, "op")
        assert not error.value.retryable
        with pytest.raises(ResourceExhausted, match="TOO_LARGE"):
            await caller.ask(PEER, "echo", {"a": "x" * MAX_FRAME_BYTES})
        assert not caller.in_flight()
        assert await caller.ask(PEER, "echo") == {}


@pytest.mark.parametrize("junk", [object(), "\ud800", b"\xff"], ids=["object", "half", "bytes"])
async def test_what_is_not_json_is_not_sent(junk: Any) -> None:
    async def handler(context: Context) -> object:
        return {"deep": [junk]}

    async def refuse(context: Context) -> object:
        raise NotFound("NO_FILE", "no file \udcff there", advice="\ud800", details={"file": junk})

    async with two({"op": handler, "refuse": refuse, "echo": echo}) as (caller, callee, _there):
        with pytest.raises(Internal, match="UNWRITABLE"):
            await caller.ask(PEER, "op")
        with pytest.raises(NotFound, match=r"no file . there") as refused:
            await caller.ask(PEER, "refuse")
        assert refused.value.details == {}
        with pytest.raises(InvalidArgument, match="UNWRITABLE"):
            await caller.ask(PEER, "echo", {"a": junk})
        with pytest.raises(CallError, match="UNWRITABLE"):
            caller.say(PEER, Notice("note", {"a": junk}))
        assert not caller.in_flight() and not callee.in_flight()
        assert await caller.ask(PEER, "echo") == {}


async def test_an_abort_arrives_whatever_its_reason() -> None:
    gate = Gate()
    async with two({"op": gate}) as (caller, _callee, _there):
        call = asyncio.create_task(caller.ask(PEER, "op"))
        await gate.began.wait()
        [id] = caller.in_flight()
        caller.abort(id, Cancelled("ABORTED", "because of \ud800"))
        with pytest.raises(Cancelled):
            await call


async def test_an_answer_that_cannot_be_read_fails_its_call() -> None:
    near, far = pipe()
    node = Node()
    async with serving((node, PEER, near)):
        call = asyncio.create_task(node.ask(PEER, "op"))
        [sent] = await answers(far)
        deep = "[" * 100 + "]" * 100
        near.inject(f'{{"jsonrpc":"2.0","id":"{sent["id"]}","result":{deep}}}')
        with pytest.raises(Internal, match="UNREADABLE"):
            await call


async def test_a_bad_frame_does_not_answer_the_call_whose_id_it_borrows() -> None:
    gate = Gate()
    async with one({"op": gate}) as (_node, near, far):
        near.inject(asked("1"))
        near.inject('{"jsonrpc":"2.0","id":"1","method":"op","params":[]}')
        near.inject('{"jsonrpc":"2.0","id":"2","method":"op","params":[]}')
        bad, worse = await answers(far, 2)
        assert (bad["id"], said(bad)) == (None, "BAD_VALUE")
        assert (worse["id"], said(worse)) == ("2", "BAD_VALUE")
        gate.open.set()
        assert [(a["id"], said(a)) for a in await answers(far)] == [("1", "ok")]


async def test_a_used_id_is_not_run_twice() -> None:
    gate = Gate()
    async with one({"op": gate}) as (_node, near, far):
        near.inject(asked("1"), asked("1"))
        [twice] = await answers(far)
        assert (twice["id"], said(twice)) == (None, "DUPLICATE_ID")
        gate.open.set()
        assert [answer["id"] for answer in await answers(far)] == ["1"]


async def test_a_guessed_id_does_not_get_in_our_way() -> None:
    async with one({"op": forever}) as (node, near, far):
        first = asyncio.create_task(node.ask(PEER, "theirs"))
        [sent] = await answers(far)
        stem, number = sent["id"][:-1], int(sent["id"][-1], 16)
        near.inject(text(Reply(CallId(sent["id"]), "hello")))
        assert await first == "hello"
        near.inject(asked(f"{stem}{number + 1:x}"))
        await holds(node.in_flight)
        second = asyncio.create_task(node.ask(PEER, "theirs"))
        [sent] = await answers(far)
        assert sent["id"] == f"{stem}{number + 2:x}"
        near.inject(text(Reply(CallId(sent["id"]), "again")))
        assert await second == "again"


# Peers that break the rules.


async def test_three_answers_to_nothing_close_the_link() -> None:
    near, far = pipe()
    node = Node({"op": echo})
    async with serving((node, PEER, near)):
        call = asyncio.create_task(node.ask(PEER, "theirs"))
        [sent] = await answers(far)
        near.inject(text(Reply(CallId("x"))), text(Item(CallId("y"), 1, None)), asked("1"))
        assert [answer["id"] for answer in await answers(far)] == ["1"], "twice is forgiven"
        near.inject(text(Reply(CallId(sent["id"]), "true")))
        assert await call == "true", "the real call is unaffected"
        near.inject(text(Reply(CallId(sent["id"]), "late")))
        await holds(lambda: near.closed)
        assert near.closed is not None and near.closed[0] == CLOSE_VIOLATION


@pytest.mark.parametrize(
    "junk",
    ["{", text(Abort(CallId("x"))), text(Credit(CallId("x"), 1)), text(Notice("$/what", {}))],
    ids=["not JSON", "aborts", "credits", "notices"],
)
async def test_a_flood_of_junk_closes_the_link(junk: str) -> None:
    async with one({"op": echo}) as (_node, near, far):
        near.inject(*[junk] * 900, asked("1"))
        frames = await answers(far, 901 if junk == "{" else 1)
        assert frames[-1]["id"] == "1", "a burst is forgiven"
        near.inject(*[junk] * 5_000)
        await holds(lambda: near.closed)
        assert near.closed is not None and near.closed[0] == CLOSE_FLOOD


async def test_who_gave_up_does_not_wait_for_ever_for_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placed, "ABORT_PATIENCE", 0.05)
    node, (near, far) = Node(), pipe()
    async with serving((node, PEER, near)):
        for _ in range(2):  # the second when nobody looks after the first any more
            asking = [asyncio.create_task(node.ask(PEER, "op")) for _ in range(3)]
            await far.take(3)
            for one in asking:
                one.cancel()
                await asyncio.sleep(0)
            await asyncio.wait(asking, timeout=20)
            assert all(one.cancelled() for one in asking)
            await far.take(3)


async def test_much_that_waits_is_on_its_way_before_the_loop_has_its_turn() -> None:
    """So that a thousand aborts are worked on there while they are still being said here."""
    node, (near, far) = Node(), pipe()
    async with serving((node, PEER, near)):
        await settled()
        for n in range(500):
            node.say(PEER, Notice("n", {"n": n}))
        assert 400 < len(far._inbox) < 500
        assert [json.loads(one)["params"]["n"] for one in await far.take(500)] == list(range(500))


async def test_nothing_is_written_out_of_turn_to_who_takes_nothing() -> None:
    node, (near, far) = Node(), pipe()
    async with serving((node, PEER, near)):
        far.hold()
        for n in range(500):
            node.say(PEER, Notice("n", {"n": n}))
        await settled()
        assert not far._inbox
        far.release()
        assert [json.loads(one)["params"]["n"] for one in await far.take(500)] == list(range(500))


async def test_a_binary_frame_closes_the_link() -> None:
    async with one({"op": echo}) as (_node, near, _far):
        near.inject(asked("1").encode())
        await holds(lambda: near.closed)
        assert near.closed is not None and near.closed[0] == CLOSE_BAD_DATA


async def test_asking_without_taking_the_answers_closes_the_link() -> None:
    large = "x" * (MAX_FRAME_BYTES - 100)

    async def handler(context: Context) -> str:
        return large

    async with one({"op": handler}) as (_node, near, far):
        far.hold()
        n = 0
        while near.closed is None:
            n += 1
            assert n < 200, "it must not grow for ever"
            near.inject(asked(f"{n}"))
            await settled()
        assert near.closed[0] == CLOSE_SLOW


@pytest.mark.parametrize("flood", [asked("1", "no.such"), "{"], ids=["calls", "junk"])
async def test_a_flooding_link_does_not_delay_another(flood: str) -> None:
    flooded, _far = pipe()
    near, far = pipe()
    node = Node({"op": echo})
    async with serving((node, PEER, flooded), (node, OTHER, near)):
        calls = 40 * FAIRNESS
        flooded.inject(*([flood] * 900 if flood == "{" else [flood] * calls))
        near.inject(asked("a"))
        turns = 0
        while not far._inbox:
            turns += 1
            assert turns < 30, "the other link waits for the flood"
            await asyncio.sleep(0)
        assert flooded._inbox, "and the flood is still being worked off"


async def test_what_is_said_is_heard() -> None:
    heard: list[tuple[LinkId, object]] = []
    near, far = pipe()
    speaker, listener = Node(), Node(listener=lambda link, frame: heard.append((link, frame)))
    async with serving((speaker, PEER, near), (listener, PEER, far)):
        speaker.say(PEER, Notice("spoke.heartbeat", {"live": 1}))
        speaker.say(PEER, Goaway("restart", 5))
        await holds(lambda: len(heard) == 2)
    assert heard == [
        (PEER, Notice("spoke.heartbeat", {"live": 1})),
        (PEER, Goaway("restart", 5)),
    ]


async def test_a_peer_that_takes_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """PROTOCOL trap 2: a ping would wait behind the data that is not taken."""
    monkeypatch.setattr("protocol.aio.carrier.STALLED_SECONDS", 0.06)
    async with one({"op": echo}) as (node, near, far):
        far.hold()
        near.inject(asked("1"))
        await holds(lambda: not node.attached(PEER))


async def test_nothing_is_said_of_it_when_a_node_is_put_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No task was destroyed while pending, no error went unread."""
    near, far = pipe()
    node = Node({"op": forever})
    serving_it = asyncio.create_task(node.attach(PEER, near))
    near.inject(asked("1"))
    await holds(node.in_flight)
    serving_it.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving_it
    while node.in_flight():
        await asyncio.sleep(0)
    del node, near, far, serving_it
    gc.collect()
    await settled()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
