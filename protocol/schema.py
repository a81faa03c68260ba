"""JSON Schemas of the frames: the law of `frames.py` in words that other languages read.

What we write is always in the schema, and whatever is in the schema is understood; we read a little
more than it says (a reason that is no text, say). Depth, size and keys given twice are beyond JSON
Schema: see `codec.py` and `limits.py`. Of an id the schema says no control characters; the hub
takes printable ones only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocol.codec import Object
from protocol.errors import BY_CODE
from protocol.frames import ACK, CANCEL, CREDIT, GOAWAY, PROGRESS, Mode
from protocol.limits import (
    MAX_ID_CHARS,
    MAX_INTEGER,
    MAX_KEY_CHARS,
    MAX_METHOD_CHARS,
    PROTOCOL_VERSION,
)

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_TEXT: Final[Object] = {"type": "string"}
_OBJECT: Final[Object] = {"type": "object"}
_ANYTHING: Final[Object] = {}
_COUNT: Final[Object] = {"type": "integer", "minimum": 1, "maximum": MAX_INTEGER}
_ID: Final[Object] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_ID_CHARS,
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$",
}
_METHOD: Final[Object] = {"type": "string", "minLength": 1, "maxLength": MAX_METHOD_CHARS}

META: Final[Object] = {
    "type": "object",
    "properties": {
        "timeoutMs": _COUNT,
        "onDisconnect": {"enum": ["cancel", "detach"]},
        "credit": _COUNT,
        "idleTimeoutMs": _COUNT,
        "idempotencyKey": {**_ID, "maxLength": MAX_KEY_CHARS},
    },
}

ERROR_DATA: Final[Object] = {
    "type": "object",
    "properties": {
        "code": {"enum": list(BY_CODE)},
        "reason": _TEXT,
        "retryable": {"type": "boolean"},
        "retryAfterMs": {"type": ["integer", "null"]},
        "advice": _TEXT,
        "details": _OBJECT,
    },
    "required": ["code", "reason", "retryable", "retryAfterMs", "advice", "details"],
}

ERROR: Final[Object] = {
    "type": "object",
    "properties": {"code": {"type": "integer"}, "message": _TEXT, "data": ERROR_DATA},
    "required": ["code", "message", "data"],
}


def _frame(what: str, fields: Mapping[str, Object], *, without: tuple[str, ...] = ()) -> Object:
    """All its fields are required; ``without``: what would make it another frame."""
    schema: Object = {
        "description": what,
        "type": "object",
        "properties": {"jsonrpc": {"const": "2.0"}, **fields},
        "required": ["jsonrpc", *fields],
    }
    if without:
        schema["not"] = {"anyOf": [{"required": [name]} for name in without]}
    return schema


def _said(what: str, method: str, params: Mapping[str, Object], required: list[str]) -> Object:
    """One of the protocol's own words: never answered."""
    given: Object = {"type": "object", "properties": {**params}, "required": [*required]}
    return _frame(what, {"method": {"const": method}, "params": given}, without=("id",))


FRAMES: Final[Mapping[str, Object]] = {
    "call": _frame(
        "Run an operation. One reply or fault answers it.",
        {"id": _ID, "method": _METHOD, "params": {"type": "object", "properties": {"_meta": META}}},
    ),
    "reply": _frame("The call succeeded.", {"id": _ID, "result": _ANYTHING},
                    without=("method", "error")),
    "fault": _frame(
        "The call failed; without an id, a frame could not be read.",
        {"id": {"anyOf": [_ID, {"type": "null"}]}, "error": ERROR},
        without=("method", "result"),
    ),
    "abort": _said("Stop working on a call.", CANCEL,
                   {"id": _ID, "reason": _TEXT, "mode": {"enum": list(Mode)}}, ["id"]),
    "item": _said(
        "One item of a stream; seq counts 1, 2, 3 without a gap.",
        PROGRESS, {"token": _ID, "seq": _COUNT, "value": _ANYTHING}, ["token", "seq", "value"],
    ),
    "credit": _said("The reader of a stream takes n more items.", CREDIT,
                    {"token": _ID, "n": _COUNT}, ["token", "n"]),
    "goaway": _said(
        "This side is about to close: place no new calls, come back later.",
        GOAWAY, {"reason": _TEXT, "reconnectAfterMs": {"type": "integer", "minimum": 0}},
        ["reason", "reconnectAfterMs"],
    ),
    "ack": _said("So many frames of the connection were heard; the far side may forget them.",
                 ACK, {"heard": _COUNT}, ["heard"]),
    "notice": _frame(
        "Said once, never answered. Unknown ones are ignored.",
        {"method": {**_METHOD, "not": {"enum": [CANCEL, PROGRESS, CREDIT, GOAWAY, ACK]}},
         "params": _OBJECT},
        without=("id",),
    ),
}  # fmt: skip


def frames() -> Object:
    """Any frame: it is exactly one of those below ``$defs``."""
    return {
        "$schema": DIALECT,
        "$id": f"urn:coord:protocol:{PROTOCOL_VERSION}:frame",
        "title": f"A frame of the coord call protocol, version {PROTOCOL_VERSION}",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in FRAMES],
        "$defs": {**FRAMES},
    }
