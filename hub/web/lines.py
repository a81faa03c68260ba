"""Events of a session as lines that are safe and plain to read. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from hub.ops.views import object_of
from hub.store.rows.exchange import EventRow
from protocol.ops.shapes import Shape

LINE_CHARS: Final = 4_000

_COLOURS: Final = re.compile(r"\x1b\[[0-9;:]*m")
#: Controls, what turns text around or is not to be seen, and what is no character at all.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff]"
)


class Line(Shape):
    seq: int
    at: int  #: ms since 1970
    kind: str
    text: str


def line(event: EventRow) -> Line:
    return Line.model_construct(
        seq=event.seq,
        at=int(event.at.timestamp() * 1_000),
        kind=event.kind,
        text=shown(_text(event.kind, object_of(event.body))),
    )


def shown(text: str, limit: int = LINE_CHARS) -> str:
    """Text from outside, without colours; whatever else could not be seen, or could move the text
    around it, is made visible."""
    left_out = len(text) - limit
    seen = _UNSEEN.sub(_visible, _COLOURS.sub("", text[:limit].removesuffix("\r")))
    return seen if left_out <= 0 else f"{seen} … {left_out:,} more characters"


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    return f"⟨U+{code:04X}⟩"


def _text(kind: str, body: Mapping[str, JsonValue]) -> str:
    match kind, body:
        case (("stdout" | "stderr"), {"text": str(text)}):
            return text
        case "message", {"text": str(text)}:
            return f"{body.get('sender') or 'a person'}: {text}"
        case "notify", {"level": level, "text": str(text)}:
            return f"{level}: {text}"
        case "child_notify", {"level": level, "text": str(text), "sessionId": child}:
            return f"{child} {level}: {text}"
        case _, {"text": str(text), "sessionId": child} if kind.startswith("child_"):
            return f"{child} {text}"
        case _:
            return ", ".join(f"{key} {_scalar(value)}" for key, value in body.items() if value)


def _scalar(value: JsonValue) -> str:
    match value:
        case list():
            return f"({len(value)})"
        case dict():
            return " ".join(f"{key}={_scalar(one)}" for key, one in value.items())
        case _:
            return str(value)
