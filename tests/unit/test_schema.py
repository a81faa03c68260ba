"""The schemas say what the code does: frames, operations, and the document beside them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from coord.cli.schema import named
from protocol import openrpc, schema
from protocol.errors import BY_CODE, CallError, NotFound
from protocol.frames import (
    Abort,
    Ack,
    Call,
    Credit,
    Fault,
    Frame,
    Goaway,
    Item,
    Notice,
    Reply,
    read,
    write,
)
from protocol.handshake import Hello
from protocol.ops.catalogue import CATALOGUE, LIVE
from tests.unit import test_frames as frames

NAMES: dict[type, str] = {
    Call: "call", Reply: "reply", Fault: "fault", Abort: "abort", Item: "item",
    Credit: "credit", Goaway: "goaway", Ack: "ack", Notice: "notice",
}  # fmt: skip
FRAMES = {name: Draft202012Validator(one) for name, one in schema.FRAMES.items()}
ANY_FRAME = Draft202012Validator(schema.frames())
DISCOVERED: Any = openrpc.everything()
METHODS: dict[str, Any] = {one["name"]: one for one in DISCOVERED["methods"]}


def said_by(value: object) -> set[str]:
    """The frames that a value is, by the schemas."""
    return {name for name, one in FRAMES.items() if one.is_valid(value)}


# Frames.


def test_each_kind_of_frame_has_a_schema() -> None:
    assert set(NAMES) == set(Frame.__args__)
    assert set(NAMES.values()) == set(schema.FRAMES)
    Draft202012Validator.check_schema(schema.frames())


@pytest.mark.parametrize("name", frames.FRAMES)
def test_a_golden_frame_is_what_its_schema_says_and_nothing_else(name: str) -> None:
    value = json.loads((frames.GOLDEN / f"{name}.json").read_text())
    assert said_by(value) == {NAMES[type(frames.FRAMES[name])]}
    assert ANY_FRAME.is_valid(value)


@given(frames.ANY_FRAME)
def test_what_we_write_is_in_the_schema(frame: Frame) -> None:
    assert said_by(json.loads(write(frame))) == {NAMES[type(frame)]}


WORDS = st.sampled_from(
    ["2.0", "c_1", "", "\n", "a.b", "$/cancelRequest", "$/progress", "$/credit", "$/goaway",
     "$/ack", "kill", "skip", "cancel", "detach", "CANCELLED", "NOPE"]
)  # fmt: skip
SCALARS = WORDS | st.none() | st.booleans() | st.sampled_from([-1, 0, 1, 7, 1 << 53, 1.0, 1.5])
KEYS = st.sampled_from(
    ["jsonrpc", "id", "method", "params", "result", "error", "token", "seq", "value", "n", "reason",
     "reconnectAfterMs", "_meta", "timeoutMs", "onDisconnect", "credit", "code", "heard", "mode",
     "idempotencyKey", "idleTimeoutMs", "message", "data"]
)  # fmt: skip
NEAR = st.recursive(SCALARS, lambda below: st.dictionaries(KEYS, below, max_size=5), max_leaves=20)


@st.composite
def nearly_a_frame(draw: st.DrawFn) -> dict[str, Any]:
    """A golden frame with something put in, taken out or changed, a few times."""
    value: dict[str, Any] = json.loads(write(draw(st.sampled_from([*frames.FRAMES.values()]))))
    for _ in range(draw(st.integers(1, 3))):
        places = [value]
        for place in places:
            places += [below for below in place.values() if isinstance(below, dict)]
        place = draw(st.sampled_from(places))
        key = draw(KEYS if not place else KEYS | st.sampled_from(sorted(place)))
        if draw(st.booleans()):
            place.pop(key, None)
        else:
            place[key] = draw(NEAR)
    return value


@given(nearly_a_frame())
def test_what_is_in_the_schema_is_understood(value: dict[str, Any]) -> None:
    names = said_by(value)
    assert len(names) <= 1
    try:
        frame = read(json.dumps(value))
    except CallError:
        assert names == set()
    else:
        assert names <= {NAMES[type(frame)]}


BROKEN: dict[str, dict[str, Any]] = {
    "an id that is a number": {"jsonrpc": "2.0", "id": 7, "method": "a.b", "params": {}},
    "an empty id": {"jsonrpc": "2.0", "id": "", "method": "a.b", "params": {}},
    "another protocol": {"jsonrpc": "1.0", "id": "a", "method": "a.b", "params": {}},
    "params in a list": {"jsonrpc": "2.0", "id": "a", "method": "a.b", "params": []},
    "no time": {
        "jsonrpc": "2.0", "id": "a", "method": "a.b", "params": {"_meta": {"timeoutMs": 0}},
    },
    "both": {"jsonrpc": "2.0", "id": "a", "result": 1, "error": {}},
    "neither": {"jsonrpc": "2.0", "id": "a"},
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_refused_is_not_in_the_schema(name: str) -> None:
    assert said_by(BROKEN[name]) == set()


# Operations.


def test_each_operation_is_described() -> None:
    assert set(METHODS) == {"initialize", *CATALOGUE, *LIVE}
    assert json.loads(json.dumps(DISCOVERED)) == DISCOVERED
    for op in (*CATALOGUE.values(), *LIVE.values()):
        said = METHODS[op.name]
        assert said["x-idempotent"] is op.idempotent
        assert said["x-readOnly"] is (op.kind.value != "mutation")
        assert set(said["x-roles"]) == set(op.roles)
        assert ("x-stream" in said) == (op.item is not None) == (op.kind.value == "stream")


def test_each_reference_leads_somewhere_and_each_schema_is_one() -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, list):
            return [one for item in value for one in references(item)]
        if not isinstance(value, dict):
            return []
        here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return here + references(list(value.values()))

    for ref in references(DISCOVERED):
        at: Any = DISCOVERED
        for step in ref.removeprefix("#/").split("/"):
            at = at[step]
    for one in DISCOVERED["components"]["schemas"].values():
        Draft202012Validator.check_schema(one)


def test_errors_are_those_of_the_tree() -> None:
    errors: Any = DISCOVERED["components"]["errors"]
    assert {code: one["code"] for code, one in errors.items()} == {
        code: kind.number for code, kind in BY_CODE.items()
    }


GIVEN: dict[str, list[dict[str, Any]]] = {
    "coord.spawn": [
        {"task": "t", "repo": "/r", "command": "c"}, {"task": "t"}, {"task": 1, "repo": "/r"},
        {"task": "t", "repo": "/r", "nonsense": 1}, {"task": "t", "repo": "/r", "priority": "1"},
        {"task": "t\nt", "repo": "/r"}, {"task": "t", "repo": "/r", "labels": {"a": 1}},
    ],
    "coord.status": [{}, {"limit": 1}, {"limit": 0}, {"limit": True}, {"limit": 501},
                     {"states": ["running"]}, {"states": ["flying"]}, {"live": 1}],
    "coord.events": [{}, {"sessionId": "s"}, {"sessionId": "s", "after": -1}],
    "initialize": [{"protocolVersion": 1, "role": "client"}, {"role": "client"},
                   {"protocolVersion": 1, "role": "admin"}],
}  # fmt: skip


@pytest.mark.parametrize("name", GIVEN)
def test_the_schema_of_parameters_decides_as_the_code_does(name: str) -> None:
    shape = Hello if name == "initialize" else CATALOGUE[name].params
    whole = {**METHODS[name]["x-params"], "components": DISCOVERED["components"]}
    validator = Draft202012Validator(whole)
    decided: dict[str, bool] = {}
    for params in GIVEN[name]:
        try:
            shape.model_validate(params)
        except ValidationError:
            accepted = False
        else:
            accepted = True
        decided[json.dumps(params)] = accepted
        assert validator.is_valid(params) is accepted, params
    assert set(decided.values()) == {True, False}


# What coordctl prints.


def test_schemas_have_names() -> None:
    assert named("frames") == schema.frames()
    assert named("operations") == DISCOVERED
    assert named("abort")["description"] == schema.FRAMES["abort"]["description"]
    [one] = named("coord.abort")["methods"]
    assert one["name"] == "coord.abort"
    with pytest.raises(NotFound):
        named("coord.nonsense")
