"""Starts the agent: its own session, its pipes, and a death that follows the supervisor's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from spoke.supervisor import landlock, tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spoke.supervisor.assignment import Assignment

NOT_FOUND = "AGENT_NOT_FOUND"
SPAWN_FAILED = "SPAWN_FAILED"
BUSY = "AGENT_BUSY"
NO_WALLS = "SANDBOX_UNAVAILABLE"


class SpawnFailed(Exception):
    """The agent was not started: ``reason`` is one of those above."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


class Agent(NamedTuple):
    """The leader and our ends of its pipes, none of which block; ``stdin`` None: it has none."""

    leader: tree.Process
    stdin: int | None
    stdout: int
    stderr: int


class _Pipes(NamedTuple):
    """Both ends of everything: (theirs, ours), and the pipe on which a failed exec is reported."""

    stdin: tuple[int, int | None]
    stdout: tuple[int, int]
    stderr: tuple[int, int]
    report: tuple[int, int]


def start(assignment: Assignment) -> Agent:
    """Fork and exec; returns once the exec has succeeded. Raises ``SpawnFailed``."""
    program = _find(assignment["argv"][0], assignment["env"].get("PATH", os.defpath), assignment)
    walls = _walls(assignment)
    pipes = _open_pipes(has_stdin=assignment["stdin"] == "open" or bool(assignment["greeting"]))
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(program, assignment, pipes, parent, walls)
    if walls is not None:
        os.close(walls)
    for theirs in (pipes.stdin[0], pipes.stdout[0], pipes.stderr[0], pipes.report[0]):
        os.close(theirs)
    failure = os.read(pipes.report[1], 4096).decode("utf-8", "replace")
    os.close(pipes.report[1])
    leader = tree.look(pid)  # with the name it has after the exec; it stays until it is reaped
    if failure or leader is None:
        os.waitpid(pid, 0)
        _close_ours(pipes)
        raise SpawnFailed(SPAWN_FAILED, f"{program}: {failure or 'it vanished'}")
    return Agent(leader, pipes.stdin[1], pipes.stdout[1], pipes.stderr[1])


def _become(
    program: str, assignment: Assignment, pipes: _Pipes, parent: int, walls: int | None
) -> None:
    """In the child: turn into the agent, or say why not and end. Never returns.

    Signal handlers need no reset: those of the supervisor are functions, which an exec undoes.
    """
    try:
        os.setsid()
        tree.die_with_parent()
        if os.getppid() != parent:  # it died before the kernel was asked to tell us
            os._exit(127)
        for number, end in enumerate((pipes.stdin, pipes.stdout, pipes.stderr)):
            os.dup2(end[0], number)
        os.chdir(assignment["cwd"])
        if walls is not None:
            landlock.enter(walls)
        os.execve(program, assignment["argv"], assignment["env"])  # noqa: S606 - no shell is the point
    except (OSError, ValueError) as error:
        os.write(pipes.report[0], (getattr(error, "strerror", None) or str(error)).encode())
    finally:
        os._exit(127)


def _walls(assignment: Assignment) -> int | None:
    """What will hold the agent; this process stays free, to save its work and to end it."""
    rules = assignment.get("walls")
    try:
        return None if rules is None else landlock.ruleset(rules)
    except OSError as error:
        raise SpawnFailed(NO_WALLS, f"this machine cannot hold it: {error.strerror}") from None


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
        hint = "commit it, or name it by its absolute path"
        raise SpawnFailed(NOT_FOUND, f"there is no program {name!r} in the worktree: {hint}")
    raise SpawnFailed(NOT_FOUND, f"there is no program {name!r} on this spoke")


def _places(name: str, path: str, cwd: str) -> Iterator[str]:
    if "/" in name:
        yield f"{cwd}/{name}" if name[0] != "/" else name
        return
    for folder in path.split(os.pathsep):
        yield f"{folder}/{name}" if folder.startswith("/") else f"{cwd}/{folder}/{name}"


def _open_pipes(*, has_stdin: bool) -> _Pipes:
    stdin: tuple[int, int | None]
    stdin = os.pipe() if has_stdin else (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), None)
    (out, out_end), (err, err_end), (report, report_end) = os.pipe(), os.pipe(), os.pipe()
    pipes = _Pipes(stdin, (out_end, out), (err_end, err), (report_end, report))
    for end in (pipes.stdin[1], pipes.stdout[1], pipes.stderr[1]):
        if end is not None:
            os.set_blocking(end, False)
    return pipes


def _close_ours(pipes: _Pipes) -> None:
    for end in (pipes.stdin[1], pipes.stdout[1], pipes.stderr[1]):
        if end is not None:
            os.close(end)
