"""JSON as we accept it: one value, no duplicate keys, bounded depth and number of keys.

RFC 8259 leaves duplicate keys open ("behaviour is unpredictable"); most parsers keep the last,
which lets two readers see two different frames. Here they are refused. So are NaN, Infinity and
halves of surrogate pairs, which some writers say and JSON has no words for. (1e400 is JSON; it is
read as infinity, which no integer field takes, and written as null.)
"""

from __future__ import annotations

import math
import re
from typing import cast

import jiter
from pydantic import BaseModel, JsonValue
from pydantic_core import to_json

from protocol.errors import BadFrame
from protocol.limits import MAX_DEPTH, MAX_KEYS_PER_FRAME, MAX_KEYS_PER_OBJECT

Object = dict[str, JsonValue]
_CONTAINERS = (dict, list)
_PLAIN = frozenset({dict, str, list, int, bool, type(None)})  # asking a model's type takes longer
_SURELY_SMALL = 2 * MAX_DEPTH  # each level takes two characters at least,
_FEW_KEYS = 2 * MAX_KEYS_PER_OBJECT  # and so does each key


def decode(text: str | bytes) -> JsonValue:
    """One JSON value. Raises BadFrame (BAD_FRAME, BAD_VALUE, TOO_DEEP or TOO_MANY_KEYS)."""
    try:
        raw = text if isinstance(text, bytes) else text.encode()
        # Keys are the same in all frames and worth remembering, values hardly ever are.
        value: JsonValue = jiter.from_json(
            raw, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys"
        )
    except ValueError:
        value = parse(text)
        _refuse_infinite(value, "")
    else:
        if len(raw) <= _SURELY_SMALL or not _may_be_large(raw):
            return value
    _measure(value)
    return value


def parse(text: str | bytes) -> JsonValue:
    """One JSON value, its size and numbers unchecked. Raises BadFrame."""
    try:
        raw = text if isinstance(text, bytes) else text.encode()
        return cast("JsonValue", jiter.from_json(raw, catch_duplicate_keys=True))
    except UnicodeEncodeError as error:
        raise BadFrame("BAD_FRAME", f"not UTF-8 at character {error.start}") from None
    except ValueError as error:
        raise _refused(str(error)) from None


def encode(value: object) -> bytes:
    """The shortest JSON of plain values and pydantic models (by their wire names).

    NaN and the infinities become null: JSON has no words for them. Raises ValueError for what is
    not JSON at all.
    """
    if type(value) not in _PLAIN and isinstance(value, BaseModel):
        # Its own writer is found faster than by looking for it.
        return value.__pydantic_serializer__.to_json(value, by_alias=True)
    return to_json(value, by_alias=True, inf_nan_mode="null")


def _may_be_large(text: bytes) -> bool:
    """Cheaper than looking: there are that many brackets or colons, be they in strings."""
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH:
        return True
    return len(text) > _FEW_KEYS and text.count(b":") > MAX_KEYS_PER_OBJECT


def _refused(why: str) -> BadFrame:
    if why.startswith("recursion limit"):
        return BadFrame("TOO_DEEP", f"nested deeper than {MAX_DEPTH}")
    if why.startswith("number out of range"):
        return BadFrame("BAD_VALUE", why, details=_offset(why))
    if "hex escape" in why:
        return BadFrame("BAD_VALUE", f"half a surrogate pair: {why}", details=_offset(why))
    return BadFrame("BAD_FRAME", f"not a JSON frame: {why[:200]}")


def _offset(why: str) -> Object:
    found = re.search(r"column ([0-9]+)$", why)
    return {"offset": int(found[1])} if found else {}


def _refuse_infinite(value: JsonValue, path: str) -> None:
    match value:
        case dict():
            for key, item in value.items():
                _refuse_infinite(item, f"{path}.{key}" if path else key)
        case list():
            for index, item in enumerate(value):
                _refuse_infinite(item, f"{path}[{index}]")
        case float() if not math.isfinite(value):
            raise BadFrame("BAD_VALUE", f"{path} is not a number", details={"field": path})
        case _:
            return


def _measure(value: JsonValue) -> None:
    """Refuse what is too deep or has too many keys; one level at a time, without recursion."""
    level: list[JsonValue] = [value]
    keys = 0
    for _ in range(MAX_DEPTH + 1):
        level = [item for item in level if type(item) in _CONTAINERS]
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
