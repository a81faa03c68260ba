"""Records of a spool as the wire wants them; pure.

Postgres refuses NUL and what is not Unicode, so that lines are cleaned here and the exact bytes
travel beside them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Final, cast

from pydantic import JsonValue

from spoke.spool import Kind, Record

_NAMES: Final[Mapping[Kind, str]] = {kind: kind.name.lower() for kind in Kind}
_OUTPUT: Final = (Kind.STDOUT, Kind.STDERR)
_ESCAPED: Final = bytes(range(32)) + b'"\\\x7f'  #: a byte of these takes up to six in JSON
_AROUND: Final = 40  #: bytes of a record on the wire that are not its body


def on_wire(record: Record) -> list[JsonValue]:
    """`[at, kind, body]`."""
    if record.kind in _OUTPUT:
        return [record.at, _NAMES[record.kind], line_body(record.payload, is_open=record.open)]
    body = cast("JsonValue", json.loads(record.payload))
    return [record.at, _NAMES[record.kind], body if _is_plain(record.payload) else _cleaned(body)]


def line_body(payload: bytes, *, is_open: bool) -> JsonValue:
    """The text itself where the bytes are it; else text, raw bytes, and whether it goes on."""
    try:
        text = payload.decode()
        is_clean = b"\0" not in payload
    except UnicodeDecodeError:
        text, is_clean = payload.decode(errors="replace"), False
    if is_clean and not is_open:
        return text
    body: dict[str, JsonValue] = {"text": text.replace("\0", "\u2400")}
    if not is_clean:
        body["raw"] = base64.b64encode(payload).decode()
    if is_open:
        body["part"] = True
    return body


def weigh(record: Record) -> int:
    """About how many bytes of JSON it takes; never much less than it does."""
    payload = record.payload
    escaped = len(payload) - len(payload.translate(None, _ESCAPED))
    try:
        payload.decode()
        raw = len(payload) * 4 // 3 + 2 * payload.count(0) if b"\0" in payload else 0
    except UnicodeDecodeError:
        raw = len(payload) * 10 // 3  # base64, and three bytes for each that is shown as unknown
    return len(payload) + 5 * escaped + raw + _AROUND


def _is_plain(payload: bytes) -> bool:
    """JSON without an escape by number: none of its strings holds what has to be cleaned."""
    return payload.isascii() and b"\\u" not in payload


def _cleaned(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return value.encode(errors="replace").decode().replace("\0", "\u2400")
        case list():
            return [_cleaned(item) for item in value]
        case dict():
            return {str(_cleaned(key)): _cleaned(item) for key, item in value.items()}
        case _:
            return value
