"""docs/protocol.md says what the code does: frames, fields, numbers, codes, and its transcript."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from protocol import limits, openrpc, schema
from protocol.aio import link
from protocol.errors import BY_CODE
from protocol.frames import read
from protocol.handshake import Hello, Welcome
from tests.unit.test_reasons import documented

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "protocol.md").read_text()
SAID = re.findall(r"^(?:(->|<-|=>|<=) )?(\{\"jsonrpc.*\})$", PAGE, re.MULTILINE)
METHODS: dict[str, Any] = {one["name"]: one for one in openrpc.everything()["methods"]}  # fmt: skip


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def table(text: str, head: str) -> list[list[str]]:
    """The rows of the table whose head begins like this."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {head} |"):
            next(lines)
            break
    rows: list[list[str]] = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    assert rows, f"no table {head}"
    return rows


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def wire_names(shape: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in shape.model_fields.items()}


def test_each_frame_has_its_row_and_its_fields() -> None:
    rows = {row[0]: row[1] for row in table(section("Frames"), "frame")}
    assert set(rows) == set(schema.FRAMES)
    for name, said in rows.items():
        fields: Any = schema.FRAMES[name]["properties"]
        inside = (
            fields["params"].get("properties", {}) if "const" in fields.get("method", {}) else {}
        )
        expected = set(inside) or set(fields) - {"jsonrpc"}
        assert expected <= set(words(said)), name


def test_each_frame_that_is_shown_is_one() -> None:
    frame = Draft202012Validator(schema.frames())
    shown = {type(read(text)) for _, text in SAID}
    for _, text in SAID:
        frame.validate(json.loads(text))
    assert len(shown) == len(schema.FRAMES)


def test_what_a_call_may_say_about_itself() -> None:
    rows = table(section("Frames"), "field")
    assert {word for row in rows for word in words(row[0])} == set(schema.META["properties"])  # type: ignore[arg-type]


@pytest.mark.parametrize(("head", "shape"), [("parameter", Hello), ("answer", Welcome)])
def test_the_handshake_has_these_fields(head: str, shape: type[BaseModel]) -> None:
    said = {word for row in table(section("The handshake"), head) for word in words(row[0])}
    assert said == wire_names(shape)


LIMITS: dict[str, list[float]] = {
    "bytes of a frame": [limits.MAX_FRAME_BYTES],
    "levels of nesting": [limits.MAX_DEPTH],
    "keys of one object, of a frame": [limits.MAX_KEYS_PER_OBJECT, limits.MAX_KEYS_PER_FRAME],
    "characters of a method": [limits.MAX_METHOD_CHARS],
    "characters of an id": [limits.MAX_ID_CHARS],
    "integers": [limits.MAX_INTEGER],
    "calls in flight on one connection, each way": [limits.MAX_IN_FLIGHT],
    "frames that mean nothing": [link.JUNK_PER_SECOND, link.JUNK_BURST],
    "answers that nobody asked for": [link.ACCUSATIONS],
    "seconds in which a peer takes no data": [limits.STALLED_SECONDS],
    "seconds until `initialize`": [limits.INITIALIZE_SECONDS],
    "seconds that a connection is kept without a wire": [limits.GRACE_SECONDS],
    "bytes kept for a peer": [limits.MAX_KEPT_BYTES],
}


def test_limits_are_those_of_the_code() -> None:
    rows = {
        row[0]: [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\d|\d", row[1])]
        for row in table(section("Limits"), "what")
    }
    assert rows == LIMITS


def test_close_codes_are_those_of_the_code() -> None:
    said = {int(n) for row in table(section("Limits"), "close code") for n in row[0].split(", ")}
    ours = {value for name, value in vars(limits).items() if name.startswith("CLOSE_")}
    assert said - {1000} == ours - {limits.CLOSE_SECONDS}


def test_error_codes_are_those_of_the_code() -> None:
    rows = [row[:3] for row in table(section("Errors"), "number")]
    assert sorted(rows) == sorted(
        [str(kind.number), code, "yes" if kind.retryable else "no"]
        for code, kind in BY_CODE.items()
    )


def test_each_reason_that_is_named_is_explained() -> None:
    named = {word for word in re.findall(r"`([A-Z][A-Z_]{3,})`", PAGE) if "COORD_" not in word}
    assert named - documented().keys() == set()


# The transcript.


def test_what_is_asked_in_the_transcript_may_be_asked() -> None:
    calls = [json.loads(text) for arrow, text in SAID if arrow in ("->", "=>") and '"id":"' in text]
    for call in (one for one in calls if one.get("method") in METHODS):
        params = {key: value for key, value in call["params"].items() if key != "_meta"}
        components = openrpc.everything()["components"]
        shape = {**METHODS[call["method"]]["x-params"], "components": components}
        Draft202012Validator(shape).validate(params)


def test_in_the_transcript_every_call_is_answered_once() -> None:
    said = [(arrow, json.loads(text)) for arrow, text in SAID if arrow]
    calls = {one["id"] for _, one in said if "method" in one and "id" in one}
    answers = [one["id"] for _, one in said if "method" not in one]
    assert sorted(answers) == sorted(calls)


def test_in_the_transcript_frames_are_counted_as_the_rules_say() -> None:
    """Up to the resume: each side's frames, but for the greeting; the last one was lost."""
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    greetings: set[str] = set()
    for arrow, text in SAID:
        one = json.loads(text)
        if one.get("method") == "initialize":
            greetings.add(one["id"])
            if "resume" in one["params"]:
                assert one["params"]["resume"]["heard"] == len(theirs)
        elif one.get("id") in greetings:
            if one["result"]["resumed"]:
                assert one["result"]["heard"] == len(ours) - 1
                break
        elif arrow == "->":
            ours.append(one)
        elif arrow == "<-":
            theirs.append(one)
