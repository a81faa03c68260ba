"""Traps of asyncio, websockets and TCP that would break us silently; each fails without its cure.

Real sockets, and far sides that are processes, so that they can be frozen. The reader that never
awaits a handler and the abort before the first step are tried over pipes as well (`test_node`).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from unittest.mock import MagicMock

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tenacity import RetryCallState
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from coord import line
from hub.door import links
from hub.door.replies import listen
from protocol.aio import carrier, dial
from protocol.aio.node import Context, Handler, Node
from protocol.aio.wire import WebsocketWire
from protocol.errors import LinkLost
from protocol.frames import Goaway, Notice, Reply, write
from protocol.handshake import Hello, Limits, SpokeHello, Welcome
from protocol.limits import MAX_FRAME_BYTES, MAX_IN_FLIGHT, PROTOCOL_VERSION
from protocol.switchboard import LinkId
from spoke import link
from spoke.identity import Identity

PATIENCE = 20.0  #: seconds; less than what would end it anyway (30 s stalled, 10 s closing)
ITEM = "x" * 50_000

#: Asks for a stream without end, and reads it. It is frozen from outside.
READER = """
import asyncio, json, sys
from websockets.asyncio.client import connect
async def main():
    async with connect(sys.argv[1], compression=None, proxy=None) as link:
        call = {"jsonrpc": "2.0", "id": "c_1", "method": "stream", "params": {}}
        await link.send(json.dumps(call))
        print((await link.recv())[:1], flush=True)
        async for _ in link:
            pass
asyncio.run(main())
"""

#: Accepts one websocket, says so, and reads.
LISTENER = """
import asyncio
from websockets.asyncio.server import serve
async def talk(link):
    async for _ in link:
        pass
async def main():
    async with serve(talk, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@asynccontextmanager
async def process(code: str, *args: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A program that can be frozen; killed at the end."""
    one = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *args, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield one
    finally:
        one.kill()
        await one.wait()


@asynccontextmanager
async def serving(node: Node) -> AsyncGenerator[str]:
    """The node behind a socket such as the hub listens on; its URL."""
    count = iter(range(1_000))

    async def attach(connection: ServerConnection) -> None:
        await node.attach(LinkId(f"peer {next(count)}"), WebsocketWire(connection))

    sock = listen("127.0.0.1", 0)
    async with serve(attach, sock=sock, compression=None, ping_interval=None) as server:
        yield f"ws://127.0.0.1:{sock.getsockname()[1]}"
        server.close()


async def holds(condition: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), what


async def stream(context: Context) -> None:
    while True:
        await context.emit(ITEM)


# 1. Cancelled before its first step.


async def test_calls_that_are_aborted_in_the_same_read_are_answered() -> None:
    """asyncio never enters a task that was cancelled before it began: no `finally` answers."""

    async def never(_: Context) -> None:
        await asyncio.Event().wait()

    node = Node({"never": never})
    async with serving(node) as url, connect(url, compression=None, proxy=None) as far:
        for first in (0, 250):
            ids = [f"c_{first + n}" for n in range(250)]
            said = [
                one
                for id in ids
                for one in (
                    {"id": id, "method": "never", "params": {}},
                    {"method": "$/cancelRequest", "params": {"id": id}},
                )
            ]
            async with far.send_context():  # as one write, so that it is one read there
                for one in said:
                    far.protocol.send_text(json.dumps({"jsonrpc": "2.0", **one}).encode())
            async with asyncio.timeout(PATIENCE):
                answers = [json.loads(await far.recv()) for _ in ids]
            assert sorted(answer["id"] for answer in answers) == sorted(ids)
            assert {answer["error"]["code"] for answer in answers} == {-32800}
    await holds(lambda: not node.in_flight(), "nothing is left")


# 2. Frozen while it is streamed to: a ping would wait behind the data that is not taken.


@pytest.mark.parametrize("cure", ["the watch over sends", "TCP_USER_TIMEOUT"])
async def test_a_reader_that_was_frozen_is_let_go(
    cure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the two cures by itself, shortened; the other would take 30 s."""
    monkeypatch.setattr(dial if cure == "TCP_USER_TIMEOUT" else carrier, "STALLED_SECONDS", 1.0)
    node = Node({"stream": stream})
    async with serving(node) as url, process(READER, url) as reader:
        assert reader.stdout is not None
        assert await reader.stdout.readline() == b"{\n"
        os.kill(reader.pid, signal.SIGSTOP)
        await holds(lambda: not node.in_flight(), "the stream has ended")


# 3. A reader that awaits a handler.


async def test_a_handler_that_hangs_does_not_stop_the_reading() -> None:
    """What is not read cannot be a pong: 300 s of ping would not save this link."""
    hanging: set[str] = set()

    async def hang(context: Context) -> None:
        hanging.add(context.call.id)
        await asyncio.Event().wait()

    async def quick(context: Context) -> object:
        return context.call.params

    handlers: dict[str, Handler] = {"hang": hang, "quick": quick}
    node = Node(handlers)
    async with serving(node) as url, connect(url, compression=None, proxy=None) as far:
        for n in range(100):
            call = {"jsonrpc": "2.0", "id": f"c_{n}", "method": "hang", "params": {}}
            await far.send(json.dumps(call))
        call = {"jsonrpc": "2.0", "id": "quick", "method": "quick", "params": {}}
        await far.send(json.dumps(call))
        async with asyncio.timeout(PATIENCE):
            assert json.loads(await far.recv())["id"] == "quick"
            await (await far.ping())
        assert len(hanging) == 100


# 4. Accepted and closed at once: `async for ws in connect()` would come again without a pause.


class Counting:
    """In the place of full jitter: what it was asked, and no pause."""

    def __init__(self) -> None:
        self.attempts: list[int] = []

    def __call__(self, state: RetryCallState) -> float:
        self.attempts.append(state.attempt_number)
        return 0.0


async def test_a_spoke_that_is_let_in_and_thrown_out_stays_away_longer_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slam(connection: ServerConnection) -> None:
        await connection.close(1013)

    async def proof(*_: object) -> str:
        return "Bearer x"

    jitter = Counting()
    monkeypatch.setattr(link, "FULL_JITTER", jitter)
    monkeypatch.setattr(link, "authorization", proof)
    async with serve(slam, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        identity = Identity("sp_1", "hub_1", "anvil", url)
        caller = link.Caller(identity, Ed25519PrivateKey.generate(), "0", spoke_hello)
        keeping = asyncio.create_task(link.keep(caller, MagicMock()))
        await holds(lambda: len(jitter.attempts) >= 5, "it came again and again")
        keeping.cancel()
        await asyncio.wait([keeping])
    assert jitter.attempts[:5] == [1, 2, 3, 4, 5], "being let in is no success"


async def test_a_client_that_is_welcomed_and_thrown_out_stays_away_longer_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def welcome_and_slam(connection: ServerConnection) -> None:
        asked = json.loads(await connection.recv())
        await connection.send(write(Reply(asked["id"], WELCOME)), text=True)
        await connection.close(1013)

    jitter = Counting()
    monkeypatch.setattr(line, "FULL_JITTER", jitter)
    async with serve(welcome_and_slam, "127.0.0.1", 0) as server:
        to = dial.address(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        hello = Hello(protocol_version=PROTOCOL_VERSION, role="client")
        here = line.Line([to], "token", hello, PATIENCE)
        await here.begin()
        await holds(lambda: len(jitter.attempts) >= 5, "it came again and again")
        await here.close()
    first = jitter.attempts[0]
    assert jitter.attempts[:5] == [first + n for n in range(5)], "a welcome is no success"


def spoke_hello() -> SpokeHello:
    return SpokeHello(spoke_id="sp_1", incarnation="i", boot_id="b", slots=1, last_seq=0)


WELCOME = Welcome(
    protocol_version=PROTOCOL_VERSION, hub_id="hub_1", hub_version="0", connection_id="cn_1",
    principal="p", role="operator", heartbeat_ms=10_000, lease_ms=45_000,
    limits=Limits(max_message_bytes=MAX_FRAME_BYTES, max_in_flight=MAX_IN_FLIGHT),
)  # fmt: skip


# 5. The time that closing takes comes on top of the time that noticing takes.


async def test_who_is_dead_is_given_up_without_a_long_goodbye(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ping, pong and close are bounded each; left to its default, closing alone takes 10 s."""
    for name in ("PING_SECONDS", "PING_TIMEOUT_SECONDS", "CLOSE_SECONDS"):
        monkeypatch.setattr(dial, name, 0.2)
    async with process(LISTENER) as listener:
        assert listener.stdout is not None
        port = int(await listener.stdout.readline())
        async with dial.dial(dial.address(f"ws://127.0.0.1:{port}"), "Bearer x") as websocket:
            node = Node()
            os.kill(listener.pid, signal.SIGSTOP)
            async with asyncio.timeout(8):  # ping, pong and close, with room; 10 s by default
                await node.attach(LinkId("hub"), WebsocketWire(websocket))
            with pytest.raises(LinkLost):
                await node.ask(LinkId("hub"), "op")


def test_what_noticing_and_closing_take_is_less_than_the_lease() -> None:
    assert links.PING_SECONDS + links.PING_TIMEOUT_SECONDS + links.CLOSE_SECONDS <= 45


# One loop for all: what one peer does is no reason for another to be late.


async def test_a_reader_that_stalls_and_a_sender_of_large_frames_delay_no_heartbeat() -> None:
    """One takes nothing of its stream, one sends frames of 1 MiB; each beat of a third is heard."""
    beats: list[int] = []

    async def swallow(_: Context) -> None:
        return None

    def hear(_: LinkId, frame: Notice | Goaway) -> None:
        if isinstance(frame, Notice):
            beats.append(int(str(frame.params["beat"])))

    node = Node({"stream": stream, "swallow": swallow}, listener=hear)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(node))
        stalled, large, third = [
            await stack.enter_async_context(
                connect(url, compression=None, proxy=None, max_queue=1, close_timeout=1)
            )
            for _ in range(3)
        ]
        await stalled.send(json.dumps(asked("stalled", "stream")))
        await holds(node.in_flight, "the stream has begun")
        fill = "y" * (MAX_FRAME_BYTES - 1_000)
        flood = asyncio.create_task(send_all(large, fill))
        for beat in range(20):
            notice = {"jsonrpc": "2.0", "method": "spoke.heartbeat", "params": {"beat": beat}}
            await third.send(json.dumps(notice))
            await holds(lambda beat=beat: beat in beats, "it is heard before the next one is said")
        assert not flood.done(), "all the while"
        flood.cancel()
        await asyncio.wait([flood])
        stalled.transport.abort()
    assert beats == list(range(20))


async def send_all(far: ClientConnection, fill: str) -> None:
    """Large calls, one after the other, for ever; their answers are read."""
    for n in itertools.count():
        await far.send(json.dumps(asked(f"large {n}", "swallow", {"fill": fill})))
        await far.recv()


def asked(id: str, method: str, params: dict[str, str] | None = None) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}
