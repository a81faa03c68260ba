"""Texts and frames: taken or refused exactly as the oracle says, by codec, frames and node."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import decode, encode
from protocol.errors import BadFrame, CallError
from protocol.frames import Call, CallId, Fault, Reply, id_of, read, write
from protocol.switchboard import LinkId
from tests.fuzz import oracle
from tests.fuzz.conftest import PROPERTIES
from tests.fuzz.strategies import ANY_TEXT, VALUES, dumped, near_frames, near_texts
from tests.fuzz.tally import Bystander
from tests.support.pipe import End, pipe
from tests.unit.test_frames import ANY_FRAME, same
from tests.unit.test_schema import NAMES


@given(ANY_TEXT)
def test_json_is_taken_or_refused_as_the_oracle_says(text: str) -> None:
    expected, reasons = None, frozenset[str]()
    try:
        expected = oracle.decode(text)
    except oracle.Refused as refused:
        reasons = refused.reasons
    if not reasons:
        assert alike(decode(text), expected)
        return
    with pytest.raises(BadFrame) as found:
        decode(text)
    assert found.value.reason in reasons


@given(near_frames() | VALUES)
def test_a_frame_is_what_its_schema_says(value: Any) -> None:
    """What is in the schema is understood, as that frame; what is not is mostly refused."""
    text = dumped(value)
    try:
        kinds = oracle.kinds(oracle.decode(text))
    except oracle.Refused:
        kinds = set()
    assert len(kinds) <= 1
    try:
        understood = {NAMES[type(read(text))]}
    except CallError:
        understood = set()
    assert kinds <= understood or oracle.is_beyond_schema(value)


@given(ANY_FRAME)
def test_what_is_written_is_read(frame: Any) -> None:
    text = write(frame).decode()
    assert same(read(text), frame)
    assert oracle.kinds(json.loads(text)) == {NAMES[type(frame)]}


@given(VALUES)
def test_what_is_encoded_is_json_with_null_for_what_is_no_number(value: Any) -> None:
    try:
        text = encode(value)
    except ValueError:
        assert oracle._HALF_PAIR.search(dumped(value))
    else:
        assert alike(json.loads(text), finite(value))


# A node over a pipe: each text is answered as it should be, in the order in which it came.


@given(st.lists(near_texts(), max_size=6))
def test_a_node_answers_each_text_exactly(bystander: Bystander, texts: list[str]) -> None:
    bystander.run(answered_exactly(bystander, texts))


async def answered_exactly(bystander: Bystander, texts: list[str]) -> None:
    """While an innocent client asks the same node."""
    near, far = pipe()
    serving = asyncio.create_task(bystander.node.attach(LinkId("peer"), near))
    try:
        for number, text in enumerate(texts):
            near.inject(text, write(Call(CallId(f"probe {number}"), "op", {})).decode())
            innocent = asyncio.create_task(bystander.ask())
            heard = [one async for one in until_answered(far, f"probe {number}")]
            await innocent
            if near.closed is None:  # three answers to nothing end it
                faults = [
                    (one["id"], one["error"]["data"]["code"]) for one in heard if "error" in one
                ]
                assert faults == answers_to(text)
    finally:
        far.cut()
        await serving
    assert not bystander.node.in_flight()


async def until_answered(far: End, id: str) -> AsyncGenerator[dict[str, Any]]:
    """What arrives there until this call is answered, or the link is closed."""
    with suppress(EOFError):
        while (one := json.loads((await far.take())[0])).get("id") != id:
            yield one


def answers_to(text: str) -> list[tuple[str | None, str]]:
    """Id and code of each fault that a text is answered with; no operation but `op` is there."""
    try:
        frame = read(text)
    except CallError as error:
        return [(id_of(text), error.code)]
    return [(frame.id, "UNIMPLEMENTED")] if isinstance(frame, Call) and frame.op != "op" else []


# The parts of the oracle.


def alike(value: Any, expected: Any) -> bool:
    """Equal, with the same types; floats as near as their shortest text says."""
    if isinstance(value, float) and isinstance(expected, float):
        return value == expected or math.isclose(value, expected, rel_tol=1e-15)
    if type(value) is not type(expected):
        return False
    if isinstance(value, dict):
        return value.keys() == expected.keys() and all(alike(value[k], expected[k]) for k in value)
    if isinstance(value, list):
        return len(value) == len(expected) and all(map(alike, value, expected))
    return bool(value == expected)


def finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def test_as_much_is_tried_as_is_said() -> None:
    from tests.fuzz import test_handshake, test_switchboard

    found = [
        name
        for module in (globals(), vars(test_handshake), vars(test_switchboard))
        for name, one in module.items()
        if name.startswith("test_") and hasattr(one, "hypothesis")
    ]
    assert len(found) == PROPERTIES
    assert {Fault, Reply} <= set(NAMES)
