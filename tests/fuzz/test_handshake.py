"""Greetings: taken or refused as the schema says; versions meet or part."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from protocol import openrpc
from protocol.codec import decode
from protocol.errors import BadFrame, FailedPrecondition
from protocol.handshake import Hello, agree
from protocol.limits import OLDEST_VERSION, PROTOCOL_VERSION
from tests.fuzz.oracle import is_beyond_schema
from tests.fuzz.strategies import TEXTS, VALUES

_DOCUMENT: Any = openrpc.everything()
_GREETING = Draft202012Validator(
    {"$ref": "#/components/schemas/Hello", "components": _DOCUMENT["components"]}
)
_SPOKE = {
    "spokeId": "sp_1", "incarnation": "i", "bootId": "b", "slots": 8, "lastSeq": 0,
    "labels": {"gpu": "h100"}, "inventory": [], "detail": {"host": "h"},
}  # fmt: skip
_GOOD = {
    "protocolVersion": 2, "oldestVersion": 1, "role": "spoke", "name": "n", "version": "1",
    "resumable": True, "resume": {"connectionId": "c", "token": "t", "heard": 1}, "spoke": _SPOKE,
}  # fmt: skip


@st.composite
def greetings(draw: st.DrawFn) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(_GOOD))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from([value, *(v for v in value.values() if isinstance(v, dict))]))
        key = draw(st.sampled_from([*_GOOD, *_SPOKE]) | TEXTS)
        if draw(st.booleans()):
            place.pop(key, None)
        else:
            place[key] = draw(VALUES)
    return value


@given(greetings())
def test_a_greeting_is_taken_as_its_schema_says(value: dict[str, Any]) -> None:
    try:
        read = decode(json.dumps(value))
    except BadFrame:
        return
    try:
        Hello.model_validate(read)
    except ValidationError as error:
        detail = all(one["loc"][-1] == "detail" for one in error.errors())  # its size and depth
        assert detail or is_beyond_schema(read) or not _GREETING.is_valid(read)
    else:
        assert _GREETING.is_valid(read)


VERSIONS = st.integers(-2, PROTOCOL_VERSION + 3) | st.integers()


@given(VERSIONS, st.none() | VERSIONS)
def test_versions_meet_or_part(newest: int, oldest: int | None) -> None:
    theirs = range(newest if oldest is None else oldest, newest + 1)
    both = [v for v in range(OLDEST_VERSION, PROTOCOL_VERSION + 1) if v in theirs]
    if oldest is None and newest > PROTOCOL_VERSION:
        both = [PROTOCOL_VERSION]  # it named no oldest: it is offered ours, and may leave
    if both:
        assert agree(newest, oldest) == max(both)
    else:
        with pytest.raises(FailedPrecondition, match="VERSION"):
            agree(newest, oldest)
