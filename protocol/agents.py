"""What each kind of agent can do, as data: hub and spoke read the same table, and so do people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["queue", "steer", "interrupt"]


class Abilities(NamedTuple):
    """``modes``: how it can be told something while it works. ``resume``: by its session's id.
    ``speaks``: the Agent Client Protocol, a way of its own, or lines.
    """

    modes: frozenset[str]
    resume: bool = True
    asks: bool = True  #: whether it may use a tool, of who decides for it
    reports_waits: bool = False  #: says when its provider keeps it waiting
    speaks: Literal["acp", "native", "lines"] = "native"
    is_named: bool = False  #: by the spawn: which program it is, is not known here


_TURNS: Final = frozenset({"queue", "interrupt"})
_STEERED: Final = frozenset({"queue", "steer", "interrupt"})

ABILITIES: Final[Mapping[str, Abilities]] = {
    "acp": Abilities(_TURNS, asks=False, speaks="acp", is_named=True),
    "claude": Abilities(_STEERED, reports_waits=True),
    "codex": Abilities(_STEERED, reports_waits=True),
    "command": Abilities(
        frozenset({"queue"}), resume=False, asks=False, speaks="lines", is_named=True
    ),
    "gemini": Abilities(_TURNS, speaks="acp"),
    "opencode": Abilities(_STEERED, reports_waits=True, speaks="acp"),
}


def is_named(agent: str) -> bool:
    """Whether a spawn has to say which program it is."""
    return agent in ABILITIES and ABILITIES[agent].is_named


def effective_mode(agent: str, mode: Mode) -> Mode:
    """What asking for ``mode`` comes to; an agent that is not known here is told line by line."""
    abilities = ABILITIES.get(agent)
    return mode if abilities is not None and mode in abilities.modes else "queue"
