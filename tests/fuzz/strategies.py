"""Texts that are nearly frames: any characters, any JSON, and good frames made a little wrong."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from protocol.frames import write
from tests.unit.test_frames import FRAMES

CHARACTERS = st.characters(exclude_categories=())
TEXTS = st.text(CHARACTERS, max_size=60)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, -1, 1 << 53, 1 << 63, 1e400, True])
WORDS = st.sampled_from(
    ["2.0", "1.0", "c_1", "", "\n", "a.b", "op", "initialize", "$/cancelRequest", "$/progress",
     "$/credit", "$/goaway", "$/ack", "$/else", "kill", "skip", "cancel", "detach", "CANCELLED"]
)  # fmt: skip
KEYS = st.sampled_from(
    ["jsonrpc", "id", "method", "params", "result", "error", "token", "seq", "value", "n", "reason",
     "reconnectAfterMs", "_meta", "timeoutMs", "onDisconnect", "credit", "code", "message", "data",
     "mode", "heard", "idleTimeoutMs", "idempotencyKey", "retryable", "details"]
)  # fmt: skip
SCALARS = st.none() | NUMBERS | WORDS | TEXTS
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(KEYS | TEXTS, below, max_size=4),
    max_leaves=10,
)


def dumped(value: Any) -> str:
    """As JSON, with what JSON has no words for (NaN) as some writers say it."""
    return json.dumps(value, ensure_ascii=False)


@st.composite
def near_frames(draw: st.DrawFn) -> dict[str, Any]:
    """A frame with some fields put in, taken out or changed."""
    value: dict[str, Any] = json.loads(write(draw(st.sampled_from([*FRAMES.values()]))))
    for _ in range(draw(st.integers(0, 3))):
        places: list[dict[str, Any]] = [value]
        for place in places:
            places += [below for below in place.values() if isinstance(below, dict)]
        place = draw(st.sampled_from(places))
        key = draw(KEYS if not place else KEYS | st.sampled_from(sorted(place)))
        if draw(st.booleans()):
            place.pop(key, None)
        else:
            place[key] = draw(VALUES)
    return value


@st.composite
def near_texts(draw: st.DrawFn) -> str:
    """The text of nearly a frame, with a piece cut out, doubled or overwritten."""
    text = dumped(draw(near_frames() | VALUES))
    for _ in range(draw(st.integers(0, 2))):
        at, to = sorted(draw(st.integers(0, len(text))) for _ in range(2))
        piece = draw(
            st.sampled_from(["", text[at:to] * 2, '"a":1,"a":2', "\\ud800", "[" * 65]) | TEXTS
        )
        text = text[:at] + piece + text[to:]
    return text


ANY_TEXT = TEXTS | near_texts()
