"""The environment of an agent: little of the daemon's, what was ordered, and who it is."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spoke.agents.agent import Plan

PROMPT_MAX: Final = 100_000  #: bytes; a single variable holds 128 KiB at most

_PASSED: Final = re.compile(
    r"(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_[A-Z_]+|TZ|TERM|TMPDIR|SSH_AUTH_SOCK|XDG_[A-Z_]+)\Z"
)


@dataclass(frozen=True, slots=True)
class Bearings:
    """What an agent is told of itself."""

    session_id: str
    parent_session_id: str | None
    attempt: int
    resumed: bool
    agent_session_id: str | None
    task: str
    worktree: Path
    branch: str
    repo: str
    prompt: str
    prompt_file: Path
    url: str  #: of the hub, with its pin
    token_file: Path

    def variables(self) -> dict[str, str]:
        said = {
            "COORD_SESSION_ID": self.session_id,
            "COORD_ATTEMPT": str(self.attempt),
            "COORD_TASK": self.task,
            "COORD_WORKTREE": str(self.worktree),
            "COORD_BRANCH": self.branch,
            "COORD_REPO": self.repo,
            "COORD_PROMPT_FILE": str(self.prompt_file),
            "COORD_URL": self.url,
            "COORD_TOKEN_FILE": str(self.token_file),
        }
        if self.resumed:
            said["COORD_RESUMED"] = "1"
        if self.agent_session_id is not None:
            said["COORD_AGENT_SESSION_ID"] = self.agent_session_id
        if self.parent_session_id is not None:
            said["COORD_PARENT_SESSION_ID"] = self.parent_session_id
        if len(self.prompt.encode(errors="replace")) <= PROMPT_MAX:
            said["COORD_PROMPT"] = self.prompt
        return said


def of_agent(ours: Mapping[str, str], ordered: Mapping[str, str], plan: Plan) -> dict[str, str]:
    """What its program is started with, whichever session it is for.

    What an agent needs of the daemon's variables (its model's key, say) passes by name alone.
    """
    passed = {
        name: value for name, value in ours.items() if _PASSED.match(name) or name in plan.passes
    }
    return {**passed, **ordered, **plan.env}


def build(
    ours: Mapping[str, str],
    ordered: Mapping[str, str],
    plan: Plan,
    bearings: Bearings,
    tools: Path,
) -> dict[str, str]:
    """The whole environment. ``tools`` is the folder of our own `coordctl`, found last."""
    env = {**of_agent(ours, ordered, plan), **bearings.variables()}
    env["PATH"] = os.pathsep.join([env.get("PATH") or os.defpath, str(tools)])
    return env
