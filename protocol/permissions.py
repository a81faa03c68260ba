"""The rules by which an agent may use its tools: how they are written. Pure, and light.

A rule is `DECISION TOOL`, or `DECISION TOOL(PATTERN)`: `allow run(git *)`, `deny edit(.github/**)`,
`ask *`. Standard library only: a supervisor loads this beside its agent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Decision = Literal["allow", "ask", "deny"]
Answer = Literal["allow", "deny"]

#: What a tool does, whatever its agent calls it.
KINDS: Final = ("run", "edit", "read", "fetch", "other")

MAX_RULES: Final = 200
MAX_CHARS: Final = 500

_RULE: Final = re.compile(r"(allow|ask|deny) +([\w*?.:/-]+)(?:\((.+)\))?", re.DOTALL)


class Rule(NamedTuple):
    """``tool`` is a kind or an agent's own name of a tool, with wildcards."""

    decision: Decision
    tool: str
    pattern: str | None = None

    def __str__(self) -> str:
        pattern = "" if self.pattern is None else f"({self.pattern})"
        return f"{self.decision} {self.tool}{pattern}"


class Layer(NamedTuple):
    """What one who may say so allows: the first rule that matches, else the default.

    What it asks is answered within so many ms, or as ``unanswered`` says.
    """

    rules: Sequence[Rule]
    default: Decision
    within_ms: int
    unanswered: Answer


def rule(text: str) -> Rule:
    """Raises ValueError, which says what is wrong."""
    found = _RULE.fullmatch(text.strip())
    if found is None or len(text) > MAX_CHARS:
        raise ValueError(
            f"{text[:80]!r} is no rule: say `allow run(git *)`, `deny edit(secrets/**)` or `ask *`"
        )
    return Rule(cast("Decision", found[1]), found[2], found[3])


def layers(said: Sequence[Mapping[str, object]]) -> list[Layer]:
    """What is in an assignment. Raises ValueError, KeyError: it was checked before it was sent."""
    return [
        Layer(
            [rule(text) for text in cast("Sequence[str]", one["rules"])],
            cast("Decision", one["default"]),
            cast("int", one["answerWithinMs"]),
            cast("Answer", one["unanswered"]),
        )
        for one in said
    ]
