"""What the wire may carry, said once more: with the standard library and with JSON Schema."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from jsonschema import Draft202012Validator

from protocol import schema
from protocol.limits import MAX_DEPTH, MAX_ID_CHARS, MAX_KEYS_PER_FRAME, MAX_KEYS_PER_OBJECT

FRAMES: Final = {name: Draft202012Validator(one) for name, one in schema.FRAMES.items()}
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")


class Refused(Exception):
    """With the reasons that may be given: there can be more than one thing wrong."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = frozenset(reasons)
        super().__init__(*reasons)


def decode(text: str) -> Any:
    """The value, or Refused."""
    if _HALF_PAIR.search(text):
        raise Refused("BAD_FRAME")  # it was no UTF-8
    twice: list[Any] = []  # with what is lost, which may be wrong too
    numberless: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(items)
        if len(value) < len(items):
            twice.extend(items)
        return value

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=numberless.append)
    except RecursionError:
        raise Refused("TOO_DEEP", "BAD_FRAME", "BAD_VALUE") from None
    except ValueError:
        raise Refused("BAD_FRAME", "BAD_VALUE", "TOO_DEEP") from None
    wrong = {
        "BAD_FRAME": bool(twice),
        "BAD_VALUE": bool(numberless) or has_half_pair([value, twice]),
        "TOO_DEEP": depth(value) > MAX_DEPTH,
        "TOO_MANY_KEYS": most_keys(value) > MAX_KEYS_PER_OBJECT
        or keys(value) > MAX_KEYS_PER_FRAME,
    }  # fmt: skip
    if any(wrong.values()):
        raise Refused(*(reason for reason, is_so in wrong.items() if is_so))
    return value


def has_half_pair(value: Any) -> bool:
    return bool(_HALF_PAIR.search(json.dumps(value, ensure_ascii=False)))


def is_beyond_schema(value: Any) -> bool:
    """What JSON Schema cannot say, or this library reads otherwise.

    To it 1.0 is an integer, "printable" has no word, and `$` matches before a last newline.
    """
    if isinstance(value, float):
        return value.is_integer()
    if isinstance(value, str):
        return not value.isprintable()
    keys_of = list(value) if isinstance(value, dict) else []
    return any(map(is_beyond_schema, [*keys_of, *inside(value)]))


def inside(value: Any) -> list[Any]:
    return (
        list(value.values())
        if isinstance(value, dict)
        else value
        if isinstance(value, list)
        else []
    )


def depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth, inside(value)), default=0)


def keys(value: Any) -> int:
    return (len(value) if isinstance(value, dict) else 0) + sum(map(keys, inside(value)))


def most_keys(value: Any) -> int:
    here = len(value) if isinstance(value, dict) else 0
    return max(here, *map(most_keys, inside(value)), 0)


def kinds(value: Any) -> set[str]:
    """The frames that a value is, by the schemas: one, or none."""
    return {name for name, one in FRAMES.items() if one.is_valid(value)}


def usable_id(value: Any) -> str | None:
    """What a refusal of this value can be addressed to."""
    id = value.get("id") if isinstance(value, dict) else None
    good = isinstance(id, str) and 0 < len(id) <= MAX_ID_CHARS and id.isprintable()
    return id if good else None
