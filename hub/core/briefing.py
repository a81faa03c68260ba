"""A structured assignment as the text of a prompt and of MISSION.md. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocol.ops.roles import Assignment

WHERE: Final = "This assignment is also in `.coord/MISSION.md`, which git leaves out."


def mission(said: Assignment) -> str:
    """In Markdown; what there is nothing to say of is left out."""
    parts = [
        _section("Objective", [said.objective.strip()]),
        _section("Context", [said.context.strip()]),
        _section("Requirements", _points(said.requirements)),
        _section("Files", _points(said.files)),
        _section("Constraints", _points(said.constraints)),
        _section("Definition of done", _points(said.definition_of_done)),
        _section("Verification", _points(said.verification)),
    ]
    return "\n\n".join(["# Mission", *filter(None, parts)]) + "\n"


def prompt(said: str, assignment: Assignment | None) -> str:
    """What the agent is told: the prompt as it is, and its assignment behind it."""
    if assignment is None:
        return said
    return "\n\n".join(filter(None, (said, mission(assignment).rstrip(), WHERE)))


def _section(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines) if any(lines) else ""


def _points(said: Sequence[str]) -> list[str]:
    """A point of several lines stays one point."""
    return ["- " + "\n  ".join(one.strip().splitlines()) for one in said if one.strip()]
