"""Lines on the wire: exact where they are clean text, exact beside it where they are not."""

from __future__ import annotations

import base64

import pytest
from pydantic import JsonValue

from protocol.codec import encode
from spoke.records import line_body, on_wire, weigh
from spoke.spool import LINE_BYTES, Kind, Record


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    ("payload", "is_open", "body"),
    [
        (b"plain", False, "plain"),
        (b"", False, ""),
        ("grüße €".encode(), False, "grüße €"),
        (b"\x1b[31mred", False, "\x1b[31mred"),
        (b"goes on", True, {"text": "goes on", "part": True}),
        (b"a\0b", False, {"text": "a\u2400b", "raw": b64(b"a\0b")}),
        (b"\xff!", False, {"text": "\ufffd!", "raw": b64(b"\xff!")}),
        (b"\xed\xa0\x80", True, {"text": "\ufffd" * 3, "raw": b64(b"\xed\xa0\x80"), "part": True}),
    ],
)
def test_a_line(payload: bytes, is_open: bool, body: JsonValue) -> None:
    assert line_body(payload, is_open=is_open) == body


def test_control_records_carry_their_json_without_what_postgres_refuses() -> None:
    record = Record(7, 1234, Kind.NOTED, b'{"reason":"a\\u0000b\\ud800","n":[1,null]}')
    assert on_wire(record) == [1234, "noted", {"reason": "a\u2400b?", "n": [1, None]}]


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (b'{"reason":"gone","n":[1,null]}', {"reason": "gone", "n": [1, None]}),
        (b'{"reason":"a\\n\\"b"}', {"reason": 'a\n"b'}),
        (b'{"reason":"gr\\u00fc\\u00dfe"}', {"reason": "grüße"}),
        (b'{"a\\u0000":{"b":["\\ud800"]}}', {"a\u2400": {"b": ["?"]}}),
        (b'{"reason":"\xed\xa0\x80"}', {"reason": "?"}),
    ],
)
def test_a_control_record_is_cleaned_wherever_it_has_to_be(payload: bytes, body: JsonValue) -> None:
    assert on_wire(Record(1, 2, Kind.NOTED, payload))[2] == body


@pytest.mark.parametrize("payload", [b"x", b"\x01", b"\0", b"\xff", "€".encode(), b'"', b"\0\xff"])
def test_the_weight_is_never_much_less_than_the_json(payload: bytes) -> None:
    record = Record(1, 1_700_000_000_000, Kind.STDOUT, payload * (LINE_BYTES // len(payload)), True)
    assert len(encode(on_wire(record))) <= weigh(record) * 1.1 + 64
