"""JSON as we accept it: one value, no duplicate keys, bounded depth and number of keys.

RFC 8259 leaves duplicate keys open ("behaviour is unpredictable"); most parsers keep the last,
which lets two readers see two different frames. Here they are refused.
"""

from __future__ import annotations

from typing import cast

import jiter
from pydantic import JsonValue
from pydantic_core import to_json

from protocol.errors import BadFrame
from protocol.limits import MAX_DEPTH, MAX_KEYS_PER_FRAME, MAX_KEYS_PER_OBJECT

Object = dict[str, JsonValue]


def decode(text: str) -> JsonValue:
    """One JSON value. Raises BadFrame (BAD_FRAME, TOO_DEEP or TOO_MANY_KEYS)."""
    try:
        value = cast("JsonValue", jiter.from_json(text.encode(), catch_duplicate_keys=True))
    except UnicodeEncodeError as error:
        raise BadFrame("BAD_FRAME", f"not UTF-8 at character {error.start}") from None
    except ValueError as error:
        raise _refused(str(error)) from None
    if text.count("{") + text.count("[") > MAX_DEPTH or text.count(":") > MAX_KEYS_PER_OBJECT:
        _measure(value)
    return value


def encode(value: object) -> bytes:
    """The shortest JSON of plain values and pydantic models (by their wire names)."""
    return to_json(value, by_alias=True)


def _refused(why: str) -> BadFrame:
    if why.startswith("recursion limit"):
        return BadFrame("TOO_DEEP", f"nested deeper than {MAX_DEPTH}")
    return BadFrame("BAD_FRAME", f"not a JSON frame: {why[:200]}")


def _measure(value: JsonValue) -> None:
    """Refuse what is too deep or has too many keys; one level at a time, without recursion."""
    level: list[JsonValue] = [value]
    keys = 0
    for _ in range(MAX_DEPTH + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return
        below: list[JsonValue] = []
        for item in level:
            if isinstance(item, dict):
                keys += len(item)
                if len(item) > MAX_KEYS_PER_OBJECT or keys > MAX_KEYS_PER_FRAME:
                    raise BadFrame("TOO_MANY_KEYS", "more keys than a frame may carry")
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        level = below
    raise BadFrame("TOO_DEEP", f"nested deeper than {MAX_DEPTH}")
