"""The words of the call protocol: every frame that may cross a link, and its JSON.

JSON-RPC 2.0, one object per websocket text frame, the same in both directions; the protocol's
own words carry LSP's names (`$/cancelRequest`, `$/progress`). Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NewType, assert_never

from pydantic import JsonValue

from protocol.codec import Object, decode, encode, parse
from protocol.errors import CallError, InvalidArgument, InvalidRequest, Unimplemented
from protocol.faults import error_body, error_of
from protocol.limits import MAX_ID_CHARS, MAX_INTEGER, MAX_KEY_CHARS, MAX_METHOD_CHARS

CallId = NewType("CallId", str)

CANCEL: Final = "$/cancelRequest"
PROGRESS: Final = "$/progress"
CREDIT: Final = "$/credit"
GOAWAY: Final = "$/goaway"
ACK: Final = "$/ack"


class Mode(StrEnum):
    """How a call is aborted."""

    KILL = "kill"  #: answered when all that runs on its behalf has ended
    KILL_NOWAIT = "killnowait"  #: answered at once; what runs on its behalf is ended meanwhile
    SKIP = "skip"  #: answered at once; the work goes on, nobody hears of its end


@dataclass(frozen=True, slots=True)
class Call:
    """Run an operation. Exactly one Reply or Fault answers it.

    ``timeout_ms`` is what remains, never a wall-clock time. ``detach`` says what losing the
    caller means: the work goes on (True), is aborted (False), or as the operation declares (None).
    ``credit`` is how many items of a stream may be sent before the caller grants more; None: as
    many as the link takes. ``idle_ms`` is how long a stream may have no item for a reader who takes
    some. ``key`` makes the call one and the same each time it is placed (an idempotency key).
    """

    id: CallId
    op: str
    params: Object
    timeout_ms: int | None = None
    detach: bool | None = None
    credit: int | None = None
    idle_ms: int | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The call succeeded. ``result`` is a plain value or a pydantic model."""

    id: CallId
    result: object = None


@dataclass(frozen=True, slots=True)
class Fault:
    """The call failed. ``id`` is None when the frame it answers had none that could be read."""

    id: CallId | None
    error: CallError


@dataclass(frozen=True, slots=True)
class Abort:
    """Stop working on a call. It is still answered, by whichever answer won the race."""

    id: CallId
    reason: str = ""
    mode: Mode = Mode.KILL


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a stream, before its final answer; ``seq`` counts 1, 2, 3 without a gap."""

    id: CallId
    seq: int
    value: object


@dataclass(frozen=True, slots=True)
class Credit:
    """The reader of a stream takes ``n`` more items."""

    id: CallId
    n: int


@dataclass(frozen=True, slots=True)
class Goaway:
    """This node is about to close: place no new calls, come back after ``reconnect_after_ms``."""

    reason: str
    reconnect_after_ms: int


@dataclass(frozen=True, slots=True)
class Ack:
    """This side heard ``heard`` frames of the connection; the far side may forget them."""

    heard: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Said once, never answered."""

    op: str
    params: Object


_MODES: Final[Mapping[str, Mode]] = {mode.value: mode for mode in Mode}

Outcome = Reply | Fault
Frame = Call | Reply | Fault | Abort | Item | Credit | Goaway | Ack | Notice


def read(text: str | bytes) -> Frame:
    """The frame in ``text``. Raises BadFrame, InvalidRequest, InvalidArgument or Unimplemented."""
    value = decode(text)
    if not isinstance(value, dict):
        raise InvalidRequest("BAD_FRAME", "a frame is a JSON object")
    if value.get("jsonrpc") != "2.0":
        raise InvalidRequest("BAD_FRAME", 'a frame says "jsonrpc": "2.0"')
    if "method" in value:
        return _asked(value)
    return _answered(value)


def id_of(text: str | bytes) -> CallId | None:
    """The id in a frame that could not be read as a whole, if it has a usable one."""
    try:
        value = parse(text)
        return _id(value) if isinstance(value, dict) and "id" in value else None
    except CallError:
        return None


def write(frame: Frame) -> bytes:
    """The JSON text of a frame."""
    match frame:
        case Reply(id, result):
            return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (encode(id), encode(result))
        case Call():
            return encode(_call(frame))
        case Item(id, seq, value):
            return _notice(PROGRESS, {"token": id, "seq": seq, "value": value})
        case Fault(id, error):
            return encode({"jsonrpc": "2.0", "id": id, "error": error_body(error)})
        case Abort(id, reason, mode):
            return _notice(CANCEL, {"id": id, "mode": mode.value, "reason": reason})
        case Credit(id, n):
            return _notice(CREDIT, {"token": id, "n": n})
        case Goaway(reason, after):
            return _notice(GOAWAY, {"reason": reason, "reconnectAfterMs": after})
        case Ack(heard):
            return _notice(ACK, {"heard": heard})
        case Notice(op, params):
            return _notice(op, params)
        case _:
            assert_never(frame)


def unknown_method(op: str) -> Unimplemented:
    """What a call of an operation that is not there is answered with."""
    shown = op[:64].encode("unicode_escape").decode()
    return Unimplemented(
        "UNKNOWN_METHOD",
        f"no operation {shown!r} here",
        advice="`coordctl call rpc.discover` lists the operations",
    )


def _call(call: Call) -> dict[str, object]:
    meta: dict[str, object] = {}
    if call.timeout_ms is not None:
        meta["timeoutMs"] = call.timeout_ms
    if call.detach is not None:
        meta["onDisconnect"] = "detach" if call.detach else "cancel"
    if call.credit is not None:
        meta["credit"] = call.credit
    if call.idle_ms is not None:
        meta["idleTimeoutMs"] = call.idle_ms
    if call.key is not None:
        meta["idempotencyKey"] = call.key
    params = {**call.params, "_meta": meta} if meta else call.params
    return {"jsonrpc": "2.0", "id": call.id, "method": call.op, "params": params}


def _notice(method: str, params: Mapping[str, object]) -> bytes:
    return encode({"jsonrpc": "2.0", "method": method, "params": params})


def _asked(value: Object) -> Frame:
    method, params = value["method"], value.get("params", {})
    if not isinstance(method, str) or not method:
        raise InvalidRequest("BAD_VALUE", "method is a word", details={"field": "method"})
    if len(method) > MAX_METHOD_CHARS:
        raise unknown_method(method)
    if not isinstance(params, dict):
        raise InvalidArgument("BAD_VALUE", "params is an object", details={"field": "params"})
    if "id" in value:
        return _request(_id(value), method, params)
    match method:
        case "$/cancelRequest":
            return Abort(_id(params), str(params.get("reason", "")), _mode(params.get("mode")))
        case "$/progress":
            return _item(params)
        case "$/credit":
            return Credit(_id(params, "token"), _count(params, "n"))
        case "$/goaway":
            after = params.get("reconnectAfterMs")
            return Goaway(str(params.get("reason", "")), after if isinstance(after, int) else 0)
        case "$/ack":
            return Ack(_count(params, "heard"))
        case _:
            return Notice(method, params)


def _request(id: CallId, method: str, params: Object) -> Call:
    meta = params.pop("_meta", None)
    if meta is None:
        return Call(id, method, params)
    if not isinstance(meta, dict):
        raise InvalidArgument("BAD_VALUE", "_meta is an object", details={"field": "_meta"})
    lost = meta.get("onDisconnect")
    if lost not in (None, "cancel", "detach"):
        raise InvalidArgument(
            "BAD_VALUE",
            "onDisconnect is cancel or detach",
            details={"field": "_meta.onDisconnect"},
        )
    return Call(
        id,
        method,
        params,
        timeout_ms=_count(meta, "timeoutMs") if "timeoutMs" in meta else None,
        detach=None if lost is None else lost == "detach",
        credit=_count(meta, "credit") if "credit" in meta else None,
        idle_ms=_count(meta, "idleTimeoutMs") if "idleTimeoutMs" in meta else None,
        key=_key(meta) if "idempotencyKey" in meta else None,
    )


def _item(params: Object) -> Item:
    return Item(_id(params, "token"), _count(params, "seq"), params.get("value"))


def _answered(value: Object) -> Outcome:
    if ("result" in value) == ("error" in value):
        raise InvalidRequest("BAD_FRAME", "a frame has a method, a result or an error")
    if "result" in value:
        return Reply(_id(value), value["result"])
    body = value["error"]
    id = None if value.get("id", "") is None else _id(value)
    return Fault(id, error_of(body if isinstance(body, dict) else {}))


def _id(value: Mapping[str, JsonValue], key: str = "id") -> CallId:
    id = value.get(key)
    if not isinstance(id, str) or not 0 < len(id) <= MAX_ID_CHARS or not id.isprintable():
        raise InvalidRequest(
            "BAD_VALUE",
            f"{key} is a printable string of 1 to {MAX_ID_CHARS} characters",
            details={"field": key},
        )
    return CallId(id)


def _key(meta: Mapping[str, JsonValue]) -> str:
    key = meta["idempotencyKey"]
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_CHARS or not key.isprintable():
        raise InvalidArgument(
            "BAD_VALUE",
            f"idempotencyKey is a printable string of 1 to {MAX_KEY_CHARS} characters",
            details={"field": "_meta.idempotencyKey"},
        )
    return key


def _mode(word: JsonValue) -> Mode:
    """An unknown mode is read as the one that confirms."""
    return _MODES.get(word, Mode.KILL) if isinstance(word, str) else Mode.KILL


def _count(value: Mapping[str, JsonValue], key: str) -> int:
    number = value.get(key)
    if type(number) is not int or not 0 < number <= MAX_INTEGER:
        raise InvalidArgument("BAD_VALUE", f"{key} is a positive integer", details={"field": key})
    return number
