"""Starts the agent: finds its program, and has the process that waits for that become it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from spoke.supervisor import tree
from spoke.supervisor.unborn import SPAWN_FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spoke.supervisor.assignment import Assignment
    from spoke.supervisor.unborn import Unborn

NOT_FOUND = "AGENT_NOT_FOUND"
BUSY = "AGENT_BUSY"


class SpawnFailed(Exception):
    """The agent was not started: ``reason`` is one of those above, or of `unborn`'s. ``advice``:
    where that says more than what one does about such a failure."""

    def __init__(self, reason: str, message: str, advice: str | None = None) -> None:
        self.reason = reason
        self.message = message
        self.advice = advice
        super().__init__(f"{reason}: {message}")


class Agent(NamedTuple):
    """The leader and our ends of its pipes, none of which block; ``stdin`` None: it has none."""

    leader: tree.Process
    stdin: int | None
    stdout: int
    stderr: int


def start(assignment: Assignment, unborn: Unborn) -> Agent:
    """Returns once the exec has succeeded. Raises ``SpawnFailed``."""
    program = _find(assignment["argv"][0], assignment["env"].get("PATH", os.defpath), assignment)
    has_stdin = assignment["stdin"] == "open" or bool(assignment["greeting"])
    failure = unborn.become({
        "program": program,
        "argv": assignment["argv"],
        "env": assignment["env"],
        "cwd": assignment["cwd"],
        "walls": assignment.get("walls"),
        "stdin": has_stdin,
    })  # fmt: skip
    if failure is not None:
        raise SpawnFailed(*failure)
    leader = tree.look(unborn.pid)  # with the name it has after the exec; it stays until reaped
    assert leader is not None  # noqa: S101 - nobody else collects it
    if not has_stdin:
        os.close(unborn.stdin)
    return Agent(leader, unborn.stdin if has_stdin else None, unborn.stdout, unborn.stderr)


def _find(name: str, path: str, assignment: Assignment) -> str:
    cwd = assignment["cwd"]
    if not os.path.isdir(cwd):  # noqa: PTH112 - pathlib costs 10 ms at start
        raise SpawnFailed(SPAWN_FAILED, f"the working folder {cwd} is gone")
    found: list[str] = []
    for place in _places(name, path, cwd):
        if os.path.isfile(place):  # noqa: PTH113 - as above
            if os.access(place, os.X_OK):
                return place
            found.append(place)
    if found:
        raise SpawnFailed(SPAWN_FAILED, f"{found[0]} is not executable")
    if "/" in name and name[0] != "/":
        advice = "commit it, or name it by its absolute path"
        raise SpawnFailed(NOT_FOUND, f"there is no program {name!r} in the worktree", advice)
    raise SpawnFailed(NOT_FOUND, f"there is no program {name!r} on this spoke")


def _places(name: str, path: str, cwd: str) -> Iterator[str]:
    if "/" in name:
        yield f"{cwd}/{name}" if name[0] != "/" else name
        return
    for folder in path.split(os.pathsep):
        yield f"{folder}/{name}" if folder.startswith("/") else f"{cwd}/{folder}/{name}"
