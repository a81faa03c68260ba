"""The agents that this spoke can start, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from protocol.errors import InvalidArgument
from spoke.agents import codex, gemini, opencode
from spoke.agents.agent import Agent
from spoke.agents.any_acp import AnyAcp
from spoke.agents.claude import Claude
from spoke.agents.command import Command

AGENTS: Final[Mapping[str, Agent]] = {
    "acp": AnyAcp(),
    "claude": Claude(),
    "codex": codex.Codex(),
    "command": Command(),
    "gemini": gemini.AGENT,
    "opencode": opencode.AGENT,
}


def installed(finds: Callable[[str], object]) -> list[str]:
    """Those that can be started where ``finds`` says which programs there are."""
    return [name for name, agent in AGENTS.items() if agent.program is None or finds(agent.program)]


def find(name: str) -> Agent:
    """Raises InvalidArgument (AGENT_UNKNOWN)."""
    agent = AGENTS.get(name)
    if agent is None:
        raise InvalidArgument(
            "AGENT_UNKNOWN",
            f"this spoke knows no agent {name[:64]!a}",
            advice=f"it knows {', '.join(sorted(AGENTS))}",
        )
    return agent
