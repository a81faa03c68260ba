"""Every frame survives the wire, looks as it always did, and bad input is told what is wrong.

The names F2 to F9 are rows of the table of hostile input in the security notes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from protocol.codec import decode, encode, parse
from protocol.errors import (
    BadFrame,
    CallError,
    Cancelled,
    InvalidArgument,
    InvalidRequest,
    Unimplemented,
)
from protocol.faults import error_body
from protocol.frames import (
    Abort,
    Ack,
    Call,
    CallId,
    Credit,
    Fault,
    Frame,
    Goaway,
    Item,
    Mode,
    Notice,
    Reply,
    id_of,
    read,
    write,
)
from protocol.limits import (
    MAX_DEPTH,
    MAX_ID_CHARS,
    MAX_INTEGER,
    MAX_KEY_CHARS,
    MAX_KEYS_PER_FRAME,
    MAX_KEYS_PER_OBJECT,
    MAX_METHOD_CHARS,
)
from protocol.ops import CATALOGUE

GOLDEN = Path(__file__).parents[1] / "golden" / "frames"
ID = CallId("c_018f5a")
REFUSED = Cancelled(
    "ABORTED", "enough", advice="spawn it again", details={"by": "user"}, retry_after_ms=100
)

FRAMES: dict[str, Frame] = {
    "call": Call(
        ID,
        "coord.spawn",
        {"task": "auth", "labels": {"gpu": "h100"}},
        timeout_ms=30_000,
        detach=True,
        credit=64,
    ),
    "call_attached": Call(ID, "coord.status", {}, detach=False),
    "call_keyed": Call(ID, "coord.events", {}, credit=8, idle_ms=60_000, key="deploy-7"),
    "call_bare": Call(ID, "rpc.discover", {}),
    "reply": Reply(ID, {"sessionId": "ses_9", "text": 'é\u2028\uffff"\\'}),
    "reply_empty": Reply(ID),
    "fault": Fault(ID, REFUSED),
    "fault_without_id": Fault(None, BadFrame("BAD_FRAME", "not a JSON frame")),
    "abort": Abort(ID, "user"),
    "abort_nowait": Abort(ID, "user", Mode.KILL_NOWAIT),
    "item": Item(ID, 1, {"events": [1, 2.5, None, True]}),
    "credit": Credit(ID, 32),
    "goaway": Goaway("restart", 500),
    "ack": Ack(64),
    "notice": Notice("spoke.heartbeat", {"epoch": 7, "live": 2}),
}


def same(heard: Frame, said: Frame) -> bool:
    """Equal, where errors are equal when they say the same."""
    if isinstance(heard, Fault) and isinstance(said, Fault):
        return heard.id == said.id and error_body(heard.error) == error_body(said.error)
    return heard == said


# As it always was.


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_looks_as_it_always_did(name: str) -> None:
    golden = (GOLDEN / f"{name}.json").read_bytes()
    assert write(FRAMES[name]) + b"\n" == golden
    assert same(read(golden.decode()), FRAMES[name])


def test_each_golden_frame_is_one_of_ours_and_each_kind_is_there() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(FRAMES)
    assert {type(frame) for frame in FRAMES.values()} == set(Frame.__args__)


@pytest.mark.parametrize("name", FRAMES)
def test_unknown_fields_are_ignored(name: str) -> None:
    value = json.loads(write(FRAMES[name]))
    value["newInV2"] = {"a": [1]}
    if isinstance(value.get("error"), dict):
        value["error"]["newInV2"] = value["error"]["data"]["newInV2"] = 1
    meta = value.get("params", {}).get("_meta")
    if meta is not None:
        meta["traceparent"] = "00-1-2-03"
    if str(value.get("method", "")).startswith("$/"):
        value["params"]["newInV2"] = 1
    assert same(read(json.dumps(value)), FRAMES[name])


# Round trips.

ANYTHING = st.text(st.characters(exclude_categories=("Cs",)))  # half a pair cannot be written
CHARACTERS = st.characters(exclude_categories=())
IDS = st.text(st.characters().filter(str.isprintable), min_size=1, max_size=MAX_ID_CHARS).map(
    CallId
)
OPS = st.text(
    st.characters(exclude_categories=("Cs",)), min_size=1, max_size=MAX_METHOD_CHARS
).filter(lambda op: not op.startswith("$/"))
COUNTS = st.integers(1, MAX_INTEGER)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | ANYTHING,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(ANYTHING, below, max_size=4),
    max_leaves=12,
)  # fmt: skip
OBJECTS = st.dictionaries(ANYTHING.filter(lambda key: key != "_meta"), VALUES, max_size=4)
MAYBE = st.none() | COUNTS
ERRORS = st.builds(
    lambda kind, *words, **more: kind(*words, **more),
    st.sampled_from(sorted((type(e) for e in (REFUSED, BadFrame("X", "x"))), key=str)),
    ANYTHING,
    ANYTHING,
    advice=ANYTHING,
    details=OBJECTS,
    retryable=st.booleans(),
    retry_after_ms=MAYBE,
)
KEYS = st.text(st.characters().filter(str.isprintable), min_size=1, max_size=MAX_KEY_CHARS)
ANY_FRAME = st.one_of(
    st.builds(Call, IDS, OPS, OBJECTS, timeout_ms=MAYBE, detach=st.none() | st.booleans(),
              credit=MAYBE, idle_ms=MAYBE, key=st.none() | KEYS),
    st.builds(Reply, IDS, VALUES),
    st.builds(Fault, st.none() | IDS, ERRORS),
    st.builds(Abort, IDS, ANYTHING, st.sampled_from(Mode)),
    st.builds(Ack, COUNTS),
    st.builds(Item, IDS, COUNTS, VALUES),
    st.builds(Credit, IDS, COUNTS),
    st.builds(Goaway, ANYTHING, st.integers(0, MAX_INTEGER)),
    st.builds(Notice, OPS, OBJECTS),
)  # fmt: skip


@given(ANY_FRAME)
def test_what_is_written_is_what_is_read(frame: Frame) -> None:
    text = write(frame).decode()
    assert same(read(text), frame)
    assert json.loads(text)["jsonrpc"] == "2.0"


@given(st.text(CHARACTERS))
def test_any_text_is_a_frame_or_a_call_error(text: str) -> None:
    try:
        read(text)
    except CallError:
        assert id_of(text) is None or '"id"' in text


@given(VALUES, st.data())
def test_any_json_is_a_frame_or_a_call_error(value: Any, data: st.DataObject) -> None:
    value = {"jsonrpc": "2.0"} | {
        key: data.draw(st.sampled_from([value, ID, "op", {}, {"id": ID}, {"token": ID, "seq": 1}]))
        for key in data.draw(
            st.sets(st.sampled_from(["id", "method", "params", "result", "error"]))
        )
    }
    reason = None
    try:
        read(encode(value).decode())
    except CallError as error:
        reason = error.reason
    assert reason in {None, "BAD_FRAME", "BAD_VALUE", "UNKNOWN_METHOD"}


def test_a_model_is_written_by_its_wire_names() -> None:
    spawned = CATALOGUE["coord.message"].result.model_validate(
        {"messageId": "msg_1", "mode": "queue", "state": "queued"}
    )
    assert json.loads(write(Reply(ID, spawned)))["result"]["messageId"] == "msg_1"


def test_no_number_that_is_not_one_is_written() -> None:
    assert encode([float("nan"), float("inf"), -float("inf")]) == b"[null,null,null]"


# Bad input.

CALL = '{"jsonrpc":"2.0","id":"c_1","method":"coord.status","params":%s}'


def refusal(text: str) -> CallError:
    with pytest.raises(CallError) as error:
        read(text)
    return error.value


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{", "nope", "{}", "[]", "1", '"x"', "null", "true", "'x'", "{1:2}",
        '{"jsonrpc":"2.0"}', '{"jsonrpc":"1.0","id":"1","method":"x"}', '{"id":"1","method":"x"}',
        CALL % "{}" + "x", CALL % "{}" + CALL % "{}", "\ufeff" + CALL % "{}", f"[{CALL % '{}'}]",
        '{"jsonrpc":"2.0","id":"1","result":1,"error":{}}', "\ud800", '"\x00"', "{\x00}",
        '{"jsonrpc":"2.0","jsonrpc":"2.0","id":"1","method":"x"}',
        '{"jsonrpc":"2.0","id":"1","method":"coord.status","method":"coord.abort"}',
        CALL % '{"a":1,"a":2}', CALL % '{"a":[{"b":{"c":1,"c":1}}]}', CALL % '{"a":1,"\\u0061":2}',
        CALL % "[1.]", CALL % "01", CALL % "+1", CALL % ".5", CALL % "0x10", CALL % "{,}",
    ],
)  # fmt: skip
def test_f2_what_is_not_a_frame(text: str) -> None:
    error = refusal(text)
    assert isinstance(error, BadFrame | InvalidRequest) and error.reason == "BAD_FRAME"


def nested(depth: int, opening: str, closing: str) -> str:
    """A frame whose deepest container is at ``depth``; the frame and its params are two."""
    return CALL % ('{"a":' + opening * (depth - 2) + "0" + closing * (depth - 2) + "}")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_f3_how_deep_is_too_deep(opening: str, closing: str) -> None:
    read(nested(MAX_DEPTH, opening, closing))
    for depth in (MAX_DEPTH + 1, 201, 1_000, 100_000):
        error = refusal(nested(depth, opening, closing))
        assert (type(error), error.reason) == (BadFrame, "TOO_DEEP")


@pytest.mark.parametrize("text", ["[" * 500_000, '{"a":' * 500_000, CALL % ("[" * 500_000)])
def test_f3_depth_without_an_end(text: str) -> None:
    assert refusal(text).reason == "TOO_DEEP"


def test_f3_brackets_in_text_are_not_depth() -> None:
    read(CALL % json.dumps({"a": "[{" * 1_000, "b": [[]] * 500}))


def test_f3_how_many_keys_are_too_many() -> None:
    many = {f"{n}": n for n in range(MAX_KEYS_PER_OBJECT)}
    read(CALL % json.dumps(many))
    assert refusal(CALL % json.dumps({**many, "x": 1})).reason == "TOO_MANY_KEYS"
    full = MAX_KEYS_PER_FRAME // 1_000
    assert (
        refusal(CALL % json.dumps({"a": [dict.fromkeys(map(str, range(1_000)))] * full})).reason
        == "TOO_MANY_KEYS"
    )
    read(CALL % json.dumps({"a": [dict.fromkeys(map(str, range(1_000)))] * (full - 1)}))


META = ["timeoutMs", "credit"]
NOT_COUNTS = ["1.0", "1e3", '"12"', "true", "null", "0", "-1", "[]", str(1 << 53), str(1 << 63),
              "1e400", "9" * 4_300]  # fmt: skip


@pytest.mark.parametrize("value", NOT_COUNTS, ids=range(len(NOT_COUNTS)))
@pytest.mark.parametrize("field", META)
def test_f4_a_count_is_a_positive_integer(field: str, value: str) -> None:
    error = refusal(CALL % f'{{"_meta":{{"{field}":{value}}}}}')
    assert (type(error), error.reason) == (InvalidArgument, "BAD_VALUE")
    assert error.details == {"field": field}


@pytest.mark.parametrize("value", NOT_COUNTS, ids=range(len(NOT_COUNTS)))
@pytest.mark.parametrize(
    ("method", "field"), [("$/progress", "seq"), ("$/credit", "n")], ids=["item", "credit"]
)
def test_f4_in_the_words_of_the_protocol(method: str, field: str, value: str) -> None:
    params = f'{{"token":"c_1","{field}":{value}}}'
    error = refusal(f'{{"jsonrpc":"2.0","method":"{method}","params":{params}}}')
    assert (error.reason, error.details) == ("BAD_VALUE", {"field": field})


def test_f4_the_largest_count_is_one() -> None:
    call = replace(Call(ID, "op", {}), timeout_ms=MAX_INTEGER, credit=MAX_INTEGER)
    assert read(write(call).decode()) == call


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_f4_what_is_not_a_number(number: str) -> None:
    error = refusal(CALL % f'{{"a":[0,{{"b":{number}}}]}}')
    assert (error.reason, error.details) == ("BAD_VALUE", {"field": "params.a[1].b"})
    read(CALL % f'{{"a":"{number}"}}')


def test_f4_a_number_without_an_end() -> None:
    error = refusal(CALL % ('{"a":' + "9" * 4_301 + "}"))
    assert error.reason == "BAD_VALUE" and error.details["offset"]


FIELDS = [
    ("coord.status", "limit"),
    ("coord.events", "after"),
    ("coord.spawn", "priority"),
    ("coord.abort", "graceMs"),
    ("session.append", "first"),
]


@pytest.mark.parametrize("value", [*NOT_COUNTS[:4], *NOT_COUNTS[-5:]])
@pytest.mark.parametrize(("op", "field"), FIELDS)
def test_f4_in_the_parameters_of_an_operation(op: str, field: str, value: str) -> None:
    frame = read(CALL % f'{{"{field}":{value}}}')
    assert isinstance(frame, Call)
    assert field in refused_fields(CATALOGUE[op].params, frame.params)


def refused_fields(model: type[BaseModel], params: dict[str, Any]) -> set[str]:
    try:
        model.model_validate(params)
    except ValidationError as error:
        return {str(found["loc"][0]) for found in error.errors() if found["type"] != "missing"}
    return set()


@pytest.mark.parametrize(
    "escape", [r"\ud800", r"\udc00", r"x\ud83dy", r"\ud83d\u0041", r"\udc00\ud800"]
)
@pytest.mark.parametrize("where", ["id", "method", "value", "key"])
def test_f5_half_a_surrogate_pair(escape: str, where: str) -> None:
    text = {
        "id": f'{{"jsonrpc":"2.0","id":"{escape}","method":"x"}}',
        "method": f'{{"jsonrpc":"2.0","id":"1","method":"{escape}"}}',
        "value": CALL % f'{{"a":"{escape}"}}',
        "key": CALL % f'{{"{escape}":1}}',
    }[where]
    error = refusal(text)
    assert (type(error), error.reason) == (BadFrame, "BAD_VALUE")
    assert isinstance(error.details["offset"], int)


def test_f5_nul_is_refused_where_it_would_be_kept() -> None:
    for op, field in (
        ("coord.spawn", "branch"),
        ("coord.message", "text"),
        ("coord.abort", "reason"),
    ):
        frame = read(CALL % f'{{"{field}":"a\\u0000b"}}')
        assert isinstance(frame, Call)
        assert field in refused_fields(CATALOGUE[op].params, frame.params)
    error = refusal('{"jsonrpc":"2.0","id":"a\\u0000","method":"x"}')
    assert (error.reason, error.details) == ("BAD_VALUE", {"field": "id"})


def test_f5_a_whole_pair_and_a_noncharacter_are_text() -> None:
    frame = read(CALL % r'{"a":"\ud83d\ude00","b":"\uffff","c":"\ufdd0"}')
    assert isinstance(frame, Call)
    assert frame.params == {"a": "\U0001f600", "b": "\uffff", "c": "\ufdd0"}


def test_f6_a_method_without_an_end_is_unknown_and_hardly_repeated() -> None:
    longest = "m" * MAX_METHOD_CHARS
    assert isinstance(read(CALL.replace("coord.status", longest) % "{}"), Call)
    error = refusal(CALL.replace("coord.status", "\x7f" * 10_000) % "{}")
    assert (type(error), error.reason) == (Unimplemented, "UNKNOWN_METHOD")
    assert "\x7f" not in error.message and len(error.message) < 400


@pytest.mark.parametrize("method", ["__class__", "coord.__init__", "$/nothing", "\\u202e"])
def test_f6_a_strange_method_is_only_a_word(method: str) -> None:
    assert isinstance(read(CALL.replace("coord.status", method) % "{}"), Call)


@pytest.mark.parametrize("method", ["null", "1", '""', "[]", "{}", "true"])
def test_f6_a_method_is_a_word(method: str) -> None:
    error = refusal(f'{{"jsonrpc":"2.0","id":"1","method":{method}}}')
    assert (error.reason, error.details) == ("BAD_VALUE", {"field": "method"})


@pytest.mark.parametrize("params", ["[]", "1", "null", '"x"', "true"])
def test_f6_params_are_an_object(params: str) -> None:
    error = refusal(CALL % params)
    assert (type(error), error.reason) == (InvalidArgument, "BAD_VALUE")
    assert error.details == {"field": "params"}


@pytest.mark.parametrize(
    ("meta", "field"),
    [
        ("[]", "_meta"), ("1", "_meta"), ('"x"', "_meta"),
        ('{"onDisconnect":"DETACH"}', "_meta.onDisconnect"),
        ('{"onDisconnect":true}', "_meta.onDisconnect"),
        ('{"onDisconnect":["cancel"]}', "_meta.onDisconnect"),
    ],
)  # fmt: skip
def test_f6_what_is_said_about_a_call_is_checked(meta: str, field: str) -> None:
    error = refusal(CALL % f'{{"_meta":{meta}}}')
    assert (error.reason, error.details) == ("BAD_VALUE", {"field": field})


BAD_IDS = ["null", '""', "1", "1.5", "true", "[]", "{}", '"\\n"', '"\\u001b[2J"',
           f'"{"x" * (MAX_ID_CHARS + 1)}"', f'"{"x" * 1_000_000}"']  # fmt: skip


@pytest.mark.parametrize("id", BAD_IDS, ids=range(len(BAD_IDS)))
@pytest.mark.parametrize("rest", ['"method":"x"', '"result":1'])
def test_f9_an_id_is_a_short_printable_word(id: str, rest: str) -> None:
    text = f'{{"jsonrpc":"2.0","id":{id},{rest}}}'
    error = refusal(text)
    assert (error.reason, error.details) == ("BAD_VALUE", {"field": "id"})
    assert id_of(text) is None


def test_f9_a_fault_may_have_no_id_a_reply_may_not() -> None:
    nameless = read('{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}')
    assert isinstance(nameless, Fault) and nameless.id is None
    for text in ('{"jsonrpc":"2.0","error":{}}', '{"jsonrpc":"2.0","result":1}'):
        assert refusal(text).reason == "BAD_VALUE"


@pytest.mark.parametrize("method", ["$/cancelRequest", "$/progress", "$/credit"])
def test_f9_the_words_of_the_protocol_name_a_call(method: str) -> None:
    for params in ("{}", '{"id":1,"token":1}', '{"id":"","token":""}'):
        error = refusal(f'{{"jsonrpc":"2.0","method":"{method}","params":{params}}}')
        assert error.reason == "BAD_VALUE"


def test_the_id_of_a_bad_frame_is_found_where_there_is_one() -> None:
    assert id_of(CALL % "[]") == "c_1"
    assert id_of(CALL % ("[" * 100 + "]" * 100)) == "c_1", "deep, but readable"
    assert id_of('{"jsonrpc":"2.0","result":1}') is None
    for text in ("", "{", "[]", CALL % ("[" * 1_000)):
        assert id_of(text) is None


@given(VALUES)
def test_the_codec_keeps_every_value(value: Any) -> None:
    text = encode(value).decode()
    assert decode(text) == parse(text) == json.loads(text) == value
