"""Calls that are refused with a word, each with the right one, on a link that goes on."""

from __future__ import annotations

import json
from typing import Any

from tests.security.people import Watch
from tests.security.raw import GOOD, ID, VALUE, Raw, op, said


def deep(levels: int) -> str:
    """A whole frame, nested so deep."""
    return op(f'{{"labels":{"[" * (levels - 2)}{"]" * (levels - 2)}}}')


def number(value: str) -> str:
    return op(f'{{"limit":{value}}}')


FRAME = ("PARSE_ERROR", "BAD_FRAME")
REQUEST = ("INVALID_REQUEST", "BAD_FRAME")
DEEP = ("PARSE_ERROR", "TOO_DEEP")
NUMBER = ("PARSE_ERROR", "BAD_VALUE")
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
