"""Transcripts of real agents: what was done, what they said, and what was understood of it.

A file has one JSON object a line: ``{"do", "wrote"}``, something that was said to the agent and the
lines that this made, or ``{"heard", "meant"}``, a line of the agent and the events in it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from spoke.agents.tongue import Event, Settlement, Start, Tongue

FOLDER: Final = Path(__file__).parent.parent / "golden" / "agents"
NOW: Final = 1_000_000
WORKTREE: Final = "/worktree"
CLAUDE_ID: Final = "00000000-0000-4000-8000-000000000000"

Entry = dict[str, object]


#: Of these scenes the agent asks for leave.
ASKING: Final = ("asked", "refused")


def start(agent: str, scene: str = "") -> Start:
    return Start(WORKTREE, CLAUDE_ID if agent == "claude" else None, asks=scene in ASKING)


def do(tongue: Tongue, what: Sequence[str]) -> list[str]:
    """``what``: open, prompt TEXT ID, steer TEXT ID, answer ID SETTLEMENT, or cancel."""
    match what:
        case ["open"]:
            return [*tongue.open()]
        case ["prompt", text, id]:
            return [*tongue.prompt(text, id)]
        case ["steer", text, id]:
            return [*tongue.steer(text, id)]
        case ["answer", id, settlement]:
            return [*tongue.answer(id, cast("Settlement", settlement), "It is not allowed.")]
        case ["cancel"]:
            return [*tongue.cancel()]
        case _:
            raise ValueError(what)


def shown(events: Sequence[Event]) -> list[object]:
    """As JSON has them."""
    return [json.loads(json.dumps([type(event).__name__, *event])) for event in events]


def read(path: Path) -> list[Entry]:
    return [cast("Entry", json.loads(line)) for line in path.read_text().splitlines()]


def write(path: Path, entries: Sequence[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
