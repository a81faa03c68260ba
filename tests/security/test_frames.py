"""The wire against a real hub, frame by frame: SECURITY.md "Protocol framing", F1 to F13.

Each case happens beside an innocent client that must be answered, and ends with a look into the
log (`watch`): no crash in it, and no secret.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from hub.app import RunningHub
from hub.door import links
from protocol.aio import carrier
from protocol.aio import node as nodes
from protocol.limits import MAX_FRAME_BYTES, MAX_IN_FLIGHT, PROTOCOL_VERSION
from protocol.switchboard import LinkId
from tests.security import people
from tests.security.people import Watch
from tests.security.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PATIENCE,
    PING,
    PONG,
    TEXT,
    Raw,
    call,
    dialled,
    entered,
    frame,
    said,
    text,
)
from tests.support import rows
from tests.support.rows import record

FLOOD = 50_000


@pytest.fixture
async def bearer(running_hub: RunningHub, watch: Watch) -> str:
    token = (await people.user(running_hub, "operator", "mallory")).token
    watch.secrets.append(token)
    return f"Bearer {token}"


@pytest.fixture
async def link(running_hub: RunningHub, bearer: str) -> AsyncGenerator[Raw]:
    async with entered(running_hub.url, bearer) as raw:
        yield raw


@pytest.fixture
async def session(running_hub: RunningHub) -> str:
    return await people.queued(people.store_of(running_hub))


def never(id: str, session: str) -> dict[str, Any]:
    """A call that is in flight until somebody ends it."""
    return call(id, "coord.wait", {"sessionIds": [session]})


# F1: what is no frame of ours closes the link, and nothing else.

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


# F2 to F6, F9: frames that are refused with a word, on a link that goes on.

GOOD = '"jsonrpc":"2.0"'


def op(params: str, method: str = "coord.status", id: str = '"x"') -> str:
    return f'{{{GOOD},"id":{id},"method":"{method}","params":{params}}}'


def deep(levels: int) -> str:
    """A whole frame, nested so deep."""
    return op(f'{{"labels":{"[" * (levels - 2)}{"]" * (levels - 2)}}}')


def number(value: str) -> str:
    return op(f'{{"limit":{value}}}')


FRAME = ("PARSE_ERROR", "BAD_FRAME")
REQUEST = ("INVALID_REQUEST", "BAD_FRAME")
DEEP = ("PARSE_ERROR", "TOO_DEEP")
NUMBER = ("PARSE_ERROR", "BAD_VALUE")
VALUE = ("INVALID_ARGUMENT", "BAD_VALUE")
ID = ("INVALID_REQUEST", "BAD_VALUE")
UNKNOWN = ("UNIMPLEMENTED", "UNKNOWN_METHOD")

# name: (text, id of the answer, what is answered, details.field)
REFUSED: dict[str, tuple[str, str | None, tuple[str, str], str | None]] = {
    "F2 no JSON": ("hello", None, FRAME, None),
    "F2 nothing": ("", None, FRAME, None),
    "F2 half of it": (op("{}")[:-1], None, FRAME, None),
    "F2 a scalar": ("7", None, REQUEST, None),
    "F2 a list: batches are not spoken": (f"[{op('{}')}]", None, REQUEST, None),
    "F2 something behind it": (op("{}") + "{}", None, FRAME, None),
    "F2 a BOM": ("\ufeff" + op("{}"), None, FRAME, None),
    "F2 a key twice": (
        f'{{{GOOD},"id":"x","method":"coord.status","method":"coord.abort"}}', None, FRAME, None,
    ),
    "F2 a key twice, once escaped": (
        f'{{{GOOD},"id":"x","method":"coord.status","\\u006dethod":"coord.abort"}}',
        None, FRAME, None,
    ),
    "F2 a key twice, below": (op('{"limit":1,"limit":2}'), None, FRAME, None),
    "F2 another protocol": ('{"jsonrpc":"1.0","id":"x","method":"a.b"}', "x", REQUEST, None),
    "F2 neither call nor answer": (f'{{{GOOD},"id":"x"}}', "x", REQUEST, None),
    "F2 result and error": (f'{{{GOOD},"id":"x","result":1,"error":{{}}}}', "x", REQUEST, None),
    "F3 65": (deep(65), "x", DEEP, None),
    "F3 201": (deep(201), "x", DEEP, None),
    "F3 1,000": (deep(1_000), None, DEEP, None),
    "F3 500,000": ("[" * 500_000, None, DEEP, None),
    "F3 500,000 objects": ('{"a":' * 100_000, None, DEEP, None),
    "F3 keys of one object": (
        op(json.dumps({"labels": {f"k{n}": "" for n in range(1_025)}})),
        "x", ("PARSE_ERROR", "TOO_MANY_KEYS"), None,
    ),
    "F4 2^53": (number("9007199254740992"), "x", VALUE, "limit"),
    "F4 2^63": (number("9223372036854775808"), "x", VALUE, "limit"),
    "F4 4,301 digits": (number("1" * 4_301), None, NUMBER, None),
    "F4 1e400": (number("1e400"), "x", VALUE, "limit"),
    "F4 NaN": (number("NaN"), "x", NUMBER, "params.limit"),
    "F4 -Infinity": (number("-Infinity"), "x", NUMBER, "params.limit"),
    "F4 true for an integer": (number("true"), "x", VALUE, "limit"),
    "F4 text for an integer": (number('"12"'), "x", VALUE, "limit"),
    "F4 1.0 for an integer": (number("1.0"), "x", VALUE, "limit"),
    "F4 a negative one": (number("-1"), "x", VALUE, "limit"),
    "F4 1 for a flag": (op('{"live":1}'), "x", VALUE, "live"),
    "F4 true for the time it has": (
        op('{"_meta":{"timeoutMs":true}}'), "x", VALUE, "timeoutMs",
    ),
    "F4 a time no clock holds": (
        op('{"task":"t","repo":"/r","command":"c","runTimeoutMs":9007199254740991}',
           "coord.spawn"),
        "x", VALUE, "runTimeoutMs",
    ),
    "F5 half a surrogate pair": (op('{"ref":"a\\ud800b"}'), None, NUMBER, None),
    "F5 half a pair in the id": (op("{}", id='"\\udc00"'), None, NUMBER, None),
    "F5 NUL in an id of ours": (op('{"sessionId":"a\\u0000"}'), "x", VALUE, "sessionId"),
    "F5 NUL in a message": (
        op('{"sessionId":"s","text":"a\\u0000b"}', "coord.message"), "x", VALUE, "text",
    ),
    "F5 a raw NUL": (op('{"ref":"a\x00b"}'), None, FRAME, None),
    "F6 an unknown method": (op("{}", "coord.nonsense"), "x", UNKNOWN, None),
    "F6 __class__": (op("{}", "__class__"), "x", UNKNOWN, None),
    "F6 coord.__init__": (op("{}", "coord.__init__"), "x", UNKNOWN, None),
    "F6 what only a spoke answers": (op("{}", "spoke.orders"), "x", UNKNOWN, None),
    "F6 10 kB of method": (op("{}", "m" * 10_000), "x", UNKNOWN, None),
    "F6 ESC in a method": (op("{}", "\\u001b[31m"), "x", UNKNOWN, None),
    "F6 a parameter too many": (op('{"nonsense":1}'), "x", VALUE, "nonsense"),
    "F6 __class__ as a parameter": (op('{"__class__":1}'), "x", VALUE, "__class__"),
    "F6 params in a list": (op("[1]"), "x", VALUE, "params"),
    "F6 no method": (f'{{{GOOD},"id":"x","method":""}}', "x", ID, "method"),
    "F9 an empty id": (op("{}", id='""'), None, ID, "id"),
    "F9 null": (op("{}", id="null"), None, ID, "id"),
    "F9 a number": (op("{}", id="7"), None, ID, "id"),
    "F9 a million characters": (op("{}", id=f'"{"i" * 1_000_000}"'), None, ID, "id"),
    "F9 a newline": (op("{}", id='"a\\n"'), None, ID, "id"),
}  # fmt: skip


async def test_f2_to_f9_each_is_answered_exactly_so_and_the_link_goes_on(
    link: Raw, watch: Watch
) -> None:
    wrong: list[object] = []
    for name, (sent, id, words, field) in REFUSED.items():
        await link.say(sent)
        answer = await link.read()
        details = answer["error"]["data"]["details"]
        if (answer["id"], said(answer)) != (id, words) or details.get("field") != field:
            wrong.append((name, answer))
        assert len(json.dumps(answer)) < 2_000, f"{name}: nothing long is said back"
        assert answer["error"]["message"].isprintable(), name
    assert wrong == []
    await watch.check()
    assert "result" in await link.ask("coord.status")


async def test_f5_a_surrogate_is_found_where_it_is(link: Raw) -> None:
    await link.say(op('{"ref":"a\\ud800b"}'))
    assert (await link.read())["error"]["data"]["details"]["offset"] > 0


async def test_f5_a_noncharacter_is_text(link: Raw, session: str, watch: Watch) -> None:
    odd = "\uffff\ufdd0\U0010ffff\u202e"
    answer = await link.ask("coord.notify", {"sessionId": session, "text": odd})
    assert "result" in answer
    events = [event async for event in watch.client.events(session, follow=False)]
    assert events[-1].body["text"] == odd


async def test_f5_a_branch_is_of_plain_letters(link: Raw) -> None:
    given = {"task": "t", "repo": "/r", "command": "c", "until": "queued"}
    for branch in ("a\uffffb", "a b", "-x", "a..b", "\u0435vil"):
        answer = await link.ask("coord.spawn", {**given, "branch": branch})
        assert said(answer)[0] == "INVALID_ARGUMENT"


async def test_unexpected_sums_of_parts_are_refused_by_name(link: Raw, watch: Watch) -> None:
    """What is right by itself may be too much together: a swarm's prompt, with its task."""
    secret = "s3cret-of-the-environment"
    watch.secrets.append(secret)
    given = {
        "tasks": ["t" * 150, "short"], "prompt": "{{task}}" * 10_000, "repo": "/r", "command": "c",
        "env": {"KEY": secret}, "until": "queued",
    }  # fmt: skip
    results = (await link.ask("coord.swarm", given))["result"]["results"]
    assert results[0]["error"]["reason"] == "BAD_VALUE"
    assert results[0]["session"] is None
    assert results[1]["session"] is not None, "the others are not held up by it"


# F7: too large.


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


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


# F8: answers that nobody waits for.


async def test_f8_three_answers_to_nothing_end_the_link(link: Raw, watch: Watch) -> None:
    for n in range(3):
        await link.say({"jsonrpc": "2.0", "id": f"never-{n}", "result": {}})
    assert await link.close_code() == 4400
    await watch.check()


async def test_f8_an_answer_to_somebody_elses_call_changes_nothing(
    running_hub: RunningHub, link: Raw, watch: Watch, session: str
) -> None:
    node = people.desk_of(running_hub).links.node
    waiting = asyncio.create_task(watch.client.wait(session, timeout_ms=60_000))
    await until_in_flight(node, 1)
    [id] = node.in_flight()
    error = {"code": -32603, "message": "no", "data": {}}
    await link.say({"jsonrpc": "2.0", "id": id, "result": {"reached": True, "sessions": []}})
    await link.say({"jsonrpc": "2.0", "id": id, "error": error})
    assert "result" in await link.ask("coord.status"), "twice is not yet three times"
    assert not waiting.done()
    await watch.client.abort(session)
    assert (await waiting).sessions[0].session_id == session


async def test_f8_of_two_answers_the_first_counts(
    running_hub: RunningHub, link: Raw, watch: Watch
) -> None:
    links_of = people.desk_of(running_hub).links
    [mallory] = [peer.link for peer in links_of.peers if peer.principal.name == "mallory"]
    asking = asyncio.create_task(links_of.node.ask(mallory, "test.question"))
    id = (await link.read())["id"]
    for n in (1, 2):
        await link.say({"jsonrpc": "2.0", "id": id, "result": n})
    assert await asking == 1
    assert "result" in await link.ask("coord.status"), "the second is dropped"


async def test_f8_an_item_of_nothing_is_a_broken_rule_too(link: Raw) -> None:
    item = {"token": "never", "seq": 1, "value": 1}
    for _ in range(3):
        await link.say({"jsonrpc": "2.0", "method": "$/progress", "params": item})
    assert await link.close_code() == 4400


# F9: ids and how many at once.


async def test_f9_an_id_in_flight_is_not_used_again(link: Raw, session: str) -> None:
    await link.say(never("a", session))
    await link.say(call("a", "coord.status"))
    twice = await link.read()
    assert twice["id"] is None, "under its id it would answer the call in flight"
    assert said(twice) == ("INVALID_REQUEST", "DUPLICATE_ID")
    assert twice["error"]["data"]["details"] == {"id": "a"}
    await link.say(cancel("a"))
    assert said(await link.read()) == ("CANCELLED", "ABORTED")
    await link.say(call("a", "coord.status"))
    assert "result" in await link.answer("a"), "answered ids are free again"


async def test_f9_a_link_has_so_many_in_flight_and_no_more(
    running_hub: RunningHub, link: Raw, session: str
) -> None:
    for n in range(MAX_IN_FLIGHT):
        await link.say(never(f"w{n}", session))
    busy = await link.ask("coord.status")
    assert said(busy) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert busy["error"]["data"]["retryable"] is True
    assert busy["error"]["data"]["retryAfterMs"] == 100
    await until_in_flight(people.desk_of(running_hub).links.node, MAX_IN_FLIGHT)
    await link.say(cancel("w7"))
    assert (await link.read())["id"] == "w7"
    assert "result" in await link.ask("coord.status"), "one place is free"


# F10: cancelling.


def cancel(id: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": id}}


async def test_f10_only_ones_own_calls_in_flight_are_cancelled(
    running_hub: RunningHub, link: Raw, watch: Watch, session: str
) -> None:
    """A cancel is not answered, the call is: a second one, or one too late, is nothing."""
    node = people.desk_of(running_hub).links.node
    theirs = asyncio.create_task(watch.client.wait(session, timeout_ms=60_000))
    await until_in_flight(node, 1)
    [id] = node.in_flight()
    finished = (await link.ask("coord.status"))["id"]
    for one in ("never", finished, id, id):
        await link.say(cancel(one))
    await link.say(never("mine", session))
    for _ in range(2):
        await link.say(cancel("mine"))
    assert said(await link.read()) == ("CANCELLED", "ABORTED"), "and nothing before it"
    assert "result" in await link.ask("coord.status")
    assert node.in_flight() == {id}
    await watch.client.abort(session)
    assert (await theirs).reached


async def test_f10_a_cancel_of_nothing_says_so(link: Raw) -> None:
    for id in ({}, {"id": None}, {"id": 7}, {"id": ""}):
        await link.say({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": id})
        assert said(await link.read()) == ID


# F11: the first words.


async def test_f11_nothing_before_the_first_call(
    running_hub: RunningHub, bearer: str, session: str
) -> None:
    async with entered(running_hub.url, bearer, greet=False) as raw:
        for method in ("coord.status", "coord.abort", "rpc.discover"):
            refused = await raw.ask(method, {"sessionId": session})
            assert said(refused) == ("FAILED_PRECONDITION", "NOT_INITIALIZED")
        assert "result" in await raw.initialize()
        again = await raw.initialize()
        assert said(again) == ("FAILED_PRECONDITION", "GREETED")
        assert "result" in await raw.ask("coord.status")


async def test_f11_who_does_not_greet_is_not_kept(
    running_hub: RunningHub, bearer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "INITIALIZE_SECONDS", 0.2)
    async with entered(running_hub.url, bearer, greet=False) as raw:
        assert await raw.close_code() == 4401


async def test_f11_a_spoke_that_greets_twice_at_once_is_welcomed_once(
    running_hub: RunningHub, watch: Watch
) -> None:
    one = await people.spoke(running_hub)
    async with entered(running_hub.url, await one.proof(running_hub), greet=False) as raw:
        hello = {"protocolVersion": 1, **one.hello()}
        await raw.send(b"".join(text(call(id, "initialize", hello)) for id in ("a", "b")))
        answers = {answer["id"]: answer for answer in (await raw.read(), await raw.read())}
        assert answers["a"]["result"]["epoch"] == 1
        assert said(answers["b"]) == ("FAILED_PRECONDITION", "GREETED")


async def test_f11_a_newer_version_is_offered_ours(running_hub: RunningHub, bearer: str) -> None:
    async with entered(running_hub.url, bearer, greet=False) as raw:
        assert (await raw.initialize(protocolVersion=999))["result"][
            "protocolVersion"
        ] == PROTOCOL_VERSION


@pytest.mark.parametrize("version", [0, -1])
async def test_f11_a_version_that_is_no_longer_spoken(
    running_hub: RunningHub, bearer: str, version: int
) -> None:
    async with entered(running_hub.url, bearer, greet=False) as raw:
        refused = await raw.initialize(protocolVersion=version)
        assert said(refused) == ("FAILED_PRECONDITION", "VERSION")
        assert refused["error"]["data"]["details"] == {"supported": [1, PROTOCOL_VERSION]}
        assert refused["error"]["data"]["advice"]
        assert said(await raw.ask("coord.status"))[1] == "NOT_INITIALIZED"


async def test_f11_a_greeting_is_strict(running_hub: RunningHub, bearer: str) -> None:
    hellos: dict[str, list[Any]] = {
        "protocolVersion": ["1", True, 1.0, None],
        "role": ["admin", "", None, 1],
        "name": ["a\nb", "", 1],
        "spoke": [[], "x"],
    }
    async with entered(running_hub.url, bearer, greet=False) as raw:
        for field, values in hellos.items():
            for value in values:
                refused = await raw.initialize(**{field: value})
                assert "error" in refused and said(refused) == VALUE, (field, value)
                assert refused["error"]["data"]["details"]["field"] == field


# F12: a reader that does not read.


async def test_f12_who_takes_nothing_is_cut_and_misses_nothing(
    running_hub: RunningHub, bearer: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "STALLED_SECONDS", 1.0)
    store = people.store_of(running_hub)
    spoke, at = await rows.spoke(store)
    session = await people.queued(store)
    attempt = await rows.run(store, spoke, at.epoch, session)
    for batch in range(20):
        lines = [record("stdout", text=f"{batch * 10 + n} {'x' * 50_000}") for n in range(10)]
        first = 3 + batch * 10
        await store.exchange.append(spoke, at.epoch, session, attempt, first, lines)
    hub_links = people.desk_of(running_hub).links
    async with entered(running_hub.url, bearer, buffer=4_096) as raw:
        [mallory] = [p.link for p in hub_links.peers if p.principal.name == "mallory"]
        node = hub_links.node
        await raw.say(call("e", "coord.events", {"sessionId": session}))
        queued = await most_queued(node, mallory, watch)
        assert queued < 4 << 20, "what is not taken is not piled up"
    seen = [
        int(str(event.body["text"]).split()[0])
        async for event in watch.client.events(session, follow=False)
        if event.kind == "stdout"
    ]
    assert seen == list(range(200)), "all of it is there for whoever comes back"


async def most_queued(node: nodes.Node, link: LinkId, watch: Watch) -> int:
    """The most that was ever queued on a link, until it is gone; the innocent asks on."""
    most = 0
    async with asyncio.timeout(PATIENCE):
        while node.attached(link):
            most = max(most, node.lines[link].ledger.size)
            await watch.client.call("coord.status", {"limit": 1})
    return most


async def test_f12_an_old_reader_goes_on_where_it_was(
    running_hub: RunningHub, bearer: str, session: str, watch: Watch
) -> None:
    for n in range(20):
        await watch.client.notify(f"{n}", session_id=session)
    async with entered(running_hub.url, bearer) as raw:
        await raw.say(call("e", "coord.events", {"sessionId": session}))
        first = (await raw.read())["params"]["value"]["events"]
    after = first[9]["seq"]
    async with entered(running_hub.url, bearer) as raw:
        given = {"sessionId": session, "after": after, "follow": False}
        await raw.say(call("e", "coord.events", given))
        second = (await raw.read())["params"]["value"]["events"]
    seqs = [event["seq"] for event in first[:10] + second]
    assert seqs == list(range(1, 22))


# F13: floods.

NOTICE = text({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "x"}})
CALL = text(call("x", "no.such"))
FLOODS: dict[str, tuple[bytes, int | None]] = {
    "junk": (text("x"), 4429),
    "cancels of nothing": (NOTICE, 4429),
    "notices that nobody listens to": (text({"jsonrpc": "2.0", "method": "a.b"}), 4429),
    "pings": (frame(PING, b"x"), None),
    "pongs": (frame(PONG, b"x"), None),
    "calls of nothing": (CALL, None),
}


@pytest.mark.parametrize(("one", "code"), FLOODS.values(), ids=FLOODS.keys())
async def test_f13_a_flood_hurts_only_whoever_makes_it(
    running_hub: RunningHub, bearer: str, watch: Watch, one: bytes, code: int | None
) -> None:
    """The innocent is answered while it comes; a flood of work is work, and is answered too."""
    async with entered(running_hub.url, bearer) as raw:
        flood = asyncio.create_task(raw.send(one * FLOOD))
        reading = asyncio.create_task(_read_all(raw))
        for _ in range(20):
            await asyncio.wait_for(watch.client.call("coord.status", {"limit": 1}), PATIENCE)
        async with asyncio.timeout(60):
            await flood
            if code is None:
                await raw.say(call("last", "coord.status", {"limit": 1}))
            assert await reading == (code or "last")


async def _read_all(raw: Raw) -> int | str | None:
    """How it ended: the code that it was closed with, or the answer to the last call."""
    while (heard := await raw.hear()) is not None:
        if heard.opcode == CLOSE:
            return heard.code
        if heard.opcode == TEXT and b'"id":"last"' in heard.payload:
            return "last"
    return None


async def test_f13_asking_without_reading_ends(
    running_hub: RunningHub, bearer: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "STALLED_SECONDS", 1.0)
    hub_links = people.desk_of(running_hub).links
    async with entered(running_hub.url, bearer, buffer=4_096) as raw:
        [mallory] = [p.link for p in hub_links.peers if p.principal.name == "mallory"]
        calls = b"".join(text(call(f"x{n}", "rpc.discover")) for n in range(250))
        flood = asyncio.create_task(raw.send(calls))
        queued = await most_queued(hub_links.node, mallory, watch)
        await flood
    assert queued < 80 << 20


# What a handler of ours is given that the shapes let through.


async def test_no_number_makes_a_crash(link: Raw, watch: Watch, session: str) -> None:
    """At the ends of what is allowed, a call works or is refused; it does not crash."""
    top = (1 << 53) - 1
    spawn = {"task": "t", "repo": "/r", "command": "c", "until": "queued"}
    ten_years = 315_360_000_000
    tries: list[tuple[str, dict[str, Any]]] = [
        ("coord.spawn", {**spawn, "queueTimeoutMs": ten_years, "runTimeoutMs": ten_years}),
        ("coord.events", {"sessionId": session, "after": top, "follow": False}),
        ("coord.events", {"sessionId": session, "tail": top, "follow": False}),
        ("coord.status", {"_meta": {"timeoutMs": top}}),
        ("coord.status", {"_meta": {"credit": top}}),
        ("coord.status", {"after": "x"}),
        ("coord.status", {"after": "MjAyMC0wMS0wMSBzZXM="}),
        ("coord.status", {"after": "MDAwMS0wMS0wMVQwMDowMDowMCswMDowMCBz"}),
        ("coord.status", {"after": "OTk5OS0xMi0zMVQyMzo1OTo1OS0yMzo1OSBz"}),
        ("coord.status", {"after": "é"}),
        ("coord.status", {"ref": "%"}),
        ("coord.status", {"ref": "\\"}),
        ("coord.status", {"spoke": "\U0010ffff"}),
        ("coord.abort", {"sessionId": session, "graceMs": ten_years, "waitMs": 0}),
    ]
    for method, params in tries:
        answer = await link.ask(method, params)
        if "error" in answer:
            assert said(answer) in (VALUE, ("INVALID_ARGUMENT", "BAD_CURSOR")), (params, answer)


async def until_in_flight(node: nodes.Node, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(node.in_flight()) < count:
            await asyncio.sleep(0)
