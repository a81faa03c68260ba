"""Frames of the websocket that are none, or too large, end their link with the right code."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from hub.app import RunningHub
from protocol.limits import MAX_FRAME_BYTES
from tests.security.people import Watch
from tests.security.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    VALUE,
    Raw,
    call,
    dialled,
    entered,
    frame,
    op,
    said,
)

FLOOD = 50_000

BROKEN = {
    "binary": (frame(BINARY, b"{}"), 1003),
    "text that is not UTF-8": (frame(TEXT, b'{"a":"\xff\xfe"}'), 1007),
    "half a surrogate in UTF-8": (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
    "UTF-8 that ends in the middle": (frame(TEXT, b'"\xf0\x9f'), 1007),
    "unmasked": (frame(TEXT, b"{}", mask=False), 1002),
    "RSV1, which deflate would use": (frame(TEXT, b"{}", rsv=4), 1002),
    "RSV3": (frame(TEXT, b"{}", rsv=1), 1002),
    "an opcode that is none": (frame(3, b"{}"), 1002),
    "a control opcode that is none": (frame(11), 1002),
    "a ping of 126 bytes": (frame(PING, bytes(126)), 1002),
    "a ping in parts": (frame(PING, b"a", fin=False), 1002),
    "close with the code 1005": (frame(CLOSE, (1005).to_bytes(2, "big")), 1002),
    "close with the code 0": (frame(CLOSE, (0).to_bytes(2, "big")), 1002),
    "close with one byte": (frame(CLOSE, b"\x03"), 1002),
    "close with a reason that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "the second part of nothing": (frame(CONTINUATION, b"{}"), 1002),
    "a message inside a message": (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
}


async def test_f1_what_is_no_frame_ends_the_link_with_the_right_code(
    running_hub: RunningHub, bearer: str, watch: Watch
) -> None:
    codes: dict[str, int] = {}
    for name, (sent, _) in BROKEN.items():
        async with entered(running_hub.url, bearer) as raw:
            await raw.send(sent)
            codes[name] = await raw.close_code()
        await watch.check()
    assert codes == {name: code for name, (_, code) in BROKEN.items()}


async def test_f1_parts_are_put_together_and_pings_answered(link: Raw) -> None:
    whole = json.dumps(call("x", "rpc.discover")).encode()
    parts = [frame(TEXT, whole[:9], fin=False), frame(PING, b"p" * 125)]
    parts += [frame(CONTINUATION, bytes([one]), fin=False) for one in whole[9:]]
    await link.send(b"".join([*parts, frame(CONTINUATION)]))
    pong = await link.hear()
    assert pong is not None and (pong.opcode, pong.payload) == (PONG, b"p" * 125)
    assert (await link.answer("x"))["result"]["openrpc"]


async def test_f7_a_length_is_believed_before_a_byte_of_it_came(
    running_hub: RunningHub, bearer: str, watch: Watch
) -> None:
    before = resident()
    for declared in (MAX_FRAME_BYTES + 1, 1 << 62, (1 << 63) - 1):
        async with entered(running_hub.url, bearer) as raw:
            await raw.send(frame(TEXT, declared=declared))
            assert await raw.close_code() == 1009
    async with entered(running_hub.url, bearer) as raw:
        await raw.send(frame(TEXT, declared=(1 << 64) - 1))
        assert await raw.close_code() in (1002, 1009), "its highest bit must not be set"
    await watch.check()
    assert resident() - before < 5 << 20


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


async def test_f7_the_sum_of_the_parts_counts(link: Raw) -> None:
    part = bytes(MAX_FRAME_BYTES // 2)
    await link.send(frame(TEXT, part, fin=False) + frame(CONTINUATION, part, fin=False))
    await link.send(frame(CONTINUATION, b"1"))
    assert await link.close_code() == 1009


async def test_f7_a_frame_of_exactly_the_limit_is_read(link: Raw) -> None:
    bare = op('{"ref":""}')
    sent = bare.replace('""', f'"{"r" * (MAX_FRAME_BYTES - len(bare))}"')
    assert len(sent) == MAX_FRAME_BYTES
    await link.say(sent)
    assert said(await link.answer("x")) == VALUE


async def test_f7_deflate_is_not_spoken(running_hub: RunningHub, bearer: str) -> None:
    async with dialled(running_hub.url) as raw:
        offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
        answered = await raw.upgrade([f"Authorization: {bearer}", offer])
        assert answered.status == 101
        assert "sec-websocket-extensions" not in answered.head.lower()
        await raw.send(frame(TEXT, bytes(100), rsv=4))
        assert await raw.close_code() == 1002


async def test_f7_fragments_without_end_are_refused(link: Raw, watch: Watch) -> None:
    empty = frame(CONTINUATION, fin=False)
    await link.send(frame(TEXT, b"{", fin=False))
    flood = asyncio.create_task(link.send(empty * FLOOD))
    await watch.check()
    assert await link.close_code() == 1009
    await flood
