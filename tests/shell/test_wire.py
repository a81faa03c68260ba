"""A wire on a websocket: the same texts in the same order, wherever the bytes were cut."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.connection import Connection
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol, Side, State

from protocol.aio.framing import opened, sealed
from protocol.aio.wire import UNREAD_BYTES, WebsocketWire
from protocol.errors import ProtocolViolation
from protocol.limits import CLOSE_BAD_DATA

SIZES = st.sampled_from([0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000])
TEXTS = st.builds(lambda size, letter: (letter * size).encode(), SIZES, st.sampled_from("aé"))
CUTS = st.lists(st.integers(1, 100_000), max_size=12)
SIDES = st.sampled_from([SERVER, CLIENT])


class End:
    """One end of a websocket without a socket; ``wire`` is on it."""

    def __init__(self, side: Side) -> None:
        self.transport = MagicMock()
        self.transport.is_closing.return_value = False
        self.websocket = Connection(Protocol(side, state=State.OPEN), ping_interval=None)
        self.websocket.connection_made(self.transport)
        self.wire = WebsocketWire(self.websocket)
        self.masked = side is SERVER  # what arrives here

    def framed(self, data: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
        return Frame(opcode, data, fin).serialize(mask=self.masked)

    @property
    def written(self) -> bytes:
        return b"".join(call.args[0] for call in self.transport.write.call_args_list)

    def end(self) -> None:
        self.wire.connection_lost(None)


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    pieces: list[bytes] = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in [*pieces, data] if piece]


@given(SIDES, st.lists(st.tuples(TEXTS, st.sampled_from(["", "parts", "ping"]))), CUTS)
def test_texts_arrive_in_order_however_they_are_cut(
    side: Side, said: list[tuple[bytes, str]], cuts: list[int]
) -> None:
    asyncio.run(arrived_in_order(side, said, cuts))


async def arrived_in_order(side: Side, said: list[tuple[bytes, str]], cuts: list[int]) -> None:
    """``said``: each text, and whether it comes in parts, or a ping before it."""
    end = End(side)
    stream = b"".join(
        end.framed(text[: len(text) // 2], fin=False)
        + end.framed(b"p" * 9, Opcode.PING)
        + end.framed(text[len(text) // 2 :], Opcode.CONT)
        if how == "parts"
        else end.framed(b"p" * 9, Opcode.PING) * (how == "ping") + end.framed(text)
        for text, how in said
    )
    heard: list[bytes] = []

    async def listen() -> None:
        while texts := await end.wire.receive():
            heard.extend(texts)

    listening = asyncio.create_task(listen())
    for n, piece in enumerate(cut(stream, cuts)):
        end.wire.data_received(piece)
        if n % 2:  # else more arrives before anybody looks
            await asyncio.sleep(0)
    end.end()
    await listening
    assert heard == [text for text, _ in said]
    if side is SERVER:  # else it is masked
        assert end.written.count(b"p" * 9) == sum(how != "" for _, how in said)


@given(SIDES, st.lists(TEXTS, max_size=5))
def test_what_is_sealed_is_what_the_library_would_write(side: Side, texts: list[bytes]) -> None:
    masked = side is CLIENT
    data = sealed(texts, masked=masked)
    far = Protocol(SERVER if masked else CLIENT, state=State.OPEN)
    far.receive_data(data)
    heard = [bytes(event.data) for event in far.events_received() if isinstance(event, Frame)]
    assert heard == texts
    assert far.close_sent is None
    if not masked:
        assert data == b"".join(Frame(Opcode.TEXT, text).serialize(mask=False) for text in texts)


@pytest.mark.parametrize(
    "broken", [b"\xff", b'"\xed\xa0\x80"', b'"\xf0\x9f'], ids=["byte", "surrogate", "half"]
)
async def test_what_is_no_utf8_is_left_to_the_library_after_what_came_before(
    broken: bytes,
) -> None:
    end = End(SERVER)
    end.wire.data_received(end.framed(b"good") + end.framed(broken) + end.framed(b"late"))
    assert await end.wire.receive() == [b"good"]
    failing = asyncio.create_task(end.wire.receive())
    await asyncio.sleep(0)
    end.end()
    assert not await failing
    assert end.websocket.protocol.close_sent is not None
    assert end.websocket.protocol.close_sent.code == 1007


async def test_a_binary_message_is_a_violation_in_its_turn() -> None:
    end = End(SERVER)
    end.wire.data_received(end.framed(b"good") + end.framed(b"{}", Opcode.BINARY))
    assert await end.wire.receive() == [b"good"]
    with pytest.raises(ProtocolViolation) as found:
        await end.wire.receive()
    assert found.value.close_code == CLOSE_BAD_DATA


async def test_who_wants_one_leaves_the_others() -> None:
    end = End(SERVER)
    end.wire.data_received(b"".join(end.framed(text) for text in (b"1", b"2", b"3")))
    assert await end.wire.receive(1) == [b"1"]
    assert await end.wire.receive() == [b"2", b"3"]


async def test_no_more_is_read_while_nobody_receives() -> None:
    end = End(SERVER)
    piece = end.framed(b"x" * 60_000)
    while not end.transport.pause_reading.called:
        end.wire.data_received(piece)
    assert end.wire._unread <= UNREAD_BYTES + len(piece)
    assert not end.transport.resume_reading.called
    assert await end.wire.receive()
    assert end.transport.resume_reading.called


async def test_who_is_full_of_what_the_library_holds_does_not_read_on() -> None:
    """Both had to stop the reading, and the library goes on when its own queue is short again."""
    end = End(SERVER)
    held = b"".join(end.framed(b"later", Opcode.BINARY) for _ in range(40))
    texts = end.framed(b"x" * 60_000) * (UNREAD_BYTES // 60_000 + 1)
    end.wire.data_received(texts + held)
    assert end.websocket.recv_messages.paused
    assert await end.wire.receive()
    assert not end.transport.resume_reading.called
    for _ in range(40):
        with pytest.raises(ProtocolViolation):
            await end.wire.receive()
    assert end.transport.resume_reading.called


@given(st.binary(max_size=40), st.booleans())
def test_any_bytes_are_read_or_left_as_they_are(data: bytes, masked: bool) -> None:
    texts, rest, _ = opened(data, masked=masked)
    assert data.endswith(rest)
    size = sum(len(text) for text in texts)
    assert len(data) - len(rest) >= size + 2 * len(texts)
