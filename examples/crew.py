"""Who works in the demo: the small scripts beside it, or one of the real coding agents."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from coord.client import Work
from protocol.ops.sessions import Event

AGENTS = Path(__file__).parent / "agents"
NOTE = (
    "In notes/{{task}}.md of this repository write one short paragraph on what {{task}} would need,"
    " and commit that file with git. Change nothing else, ask nothing."
)
QUESTION = "In one line, without using any tool: what is this repository for?"
#: By any of these its CLI finds a model; without one, it may still be logged in.
KEYS = {
    "claude": ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"),
    "codex": ("OPENAI_API_KEY", "CODEX_API_KEY"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "opencode": ("OPENCODE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY"),
}


@dataclass(frozen=True, slots=True)
class Crew:
    """``agent`` None: the scripts. ``env``: where the person's own settings of that agent are."""

    agent: str | None = None
    prompt: str = NOTE
    env: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def kinds(self) -> list[str]:
        """Of the events, those that people read: an agent's own lines are JSON."""
        return ["stdout", "stderr"] if self.agent is None else ["agent"]

    def writer(self) -> Work:
        """Changes one file, and commits it."""
        if self.agent is None:
            return {"command": str(AGENTS / "scribe.sh")}
        return {"agent": self.agent, "stdin": "closed", "env": self.env}

    def listener(self) -> Work:
        """Stays, to be spoken to."""
        if self.agent is None:
            return {"command": str(AGENTS / "listener.sh")}
        return {"agent": self.agent, "env": self.env}


def of(agent: str | None, prompt: str | None) -> Crew:
    """Raises SystemExit when that agent is not there to be asked."""
    if not agent:
        return Crew()
    if agent not in KEYS:
        raise SystemExit(f"no agent {agent!r}: the demo knows {', '.join(sorted(KEYS))}")
    if shutil.which(agent) is None:
        raise SystemExit(f"{agent} is not installed: no such program on PATH (docs/agents.md)")
    if not any(os.environ.get(name) for name in KEYS[agent]):
        print(f"none of {', '.join(KEYS[agent])} is set: {agent} has to be logged in by itself")
    return Crew(agent, prompt or NOTE, _settings())


def _settings() -> dict[str, str]:
    """The demo's daemons have folders of their own; the person's agents keep to the person's."""
    usual = {"XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".local/share"}
    usual["XDG_STATE_HOME"] = ".local/state"
    return {name: os.environ.get(name) or str(Path.home() / below) for name, below in usual.items()}


def words(event: Event) -> str | None:
    """What an event says to people; None for what only programs read."""
    body = event.body
    match event.kind, body.get("event"):
        case "agent", "text":
            return str(body.get("text"))
        case "agent", "tool" if body.get("state") == "started":
            return f"({body.get('title')})"
        case "stdout" | "stderr", _:
            return str(body.get("text"))
        case _:
            return None


async def turn(story: AsyncIterator[Event], task: str) -> None:
    """Show one turn of an agent. Raises SystemExit when the session ends instead."""
    async for event in story:
        if said := words(event):
            print(f"  [{task}] {said}", flush=True)
        if event.body.get("event") == "turnEnded":
            return
    raise SystemExit(f"{task} ended before it answered")
