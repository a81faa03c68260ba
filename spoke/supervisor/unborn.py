"""The process that becomes the agent: forked before there is work, for that takes the longest."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypedDict, cast

from spoke.supervisor import landlock, tree
from spoke.supervisor.assignment import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

SPAWN_FAILED = "SPAWN_FAILED"
NO_WALLS = "SANDBOX_UNAVAILABLE"
_CHUNK = 1 << 16


class Order(TypedDict):
    """What to become; ``walls``: what will hold it, ``stdin``: whether it gets one."""

    program: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    walls: Sequence[Sequence[object]] | None
    stdin: bool


class Unborn(NamedTuple):
    """What will be the agent, and our ends of its pipes. It takes one order, a line; where
    that cannot be carried out, it says why and ends."""

    pid: int
    order: int
    report: int
    stdin: int
    stdout: int
    stderr: int

    def become(self, order: Order) -> tuple[str, str] | None:
        """Returns once it has: None, or the reason and the words why it could not."""
        text = memoryview(encode(order) + b"\n")
        with suppress(BrokenPipeError):  # it was killed, and is collected as any agent
            while text:
                text = text[os.write(self.order, text) :]
        failure = b""
        while said := os.read(self.report, _CHUNK):
            failure += said
        if failure:
            reason, words = json.loads(failure)
            return reason, words
        os.close(self.order)
        os.close(self.report)
        return None

    def dismiss(self) -> None:
        """It is not needed, or could not become what was ordered. Returns when it has ended."""
        for end in self[1:]:
            os.close(end)
        os.waitpid(self.pid, 0)


def conceive() -> Unborn:
    """In a session of its own, from the beginning. It ends with us, however we end."""
    (order, order_end), (stdin, stdin_end) = os.pipe(), os.pipe()
    (out, out_end), (err, err_end), (report, report_end) = os.pipe(), os.pipe(), os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(order_end)  # else it would never see its end
        _wait(parent, order, report_end, (stdin, out_end, err_end))
    for theirs in (order, stdin, out_end, err_end, report_end):
        os.close(theirs)
    for ours in (stdin_end, out, err):
        os.set_blocking(ours, False)
    return Unborn(pid, order_end, report, stdin_end, out, err)


def _wait(parent: int, order: int, report: int, standard: Sequence[int]) -> None:
    """In the child: turn into what is ordered, or end. Never returns.

    Signal handlers need no reset: those of the supervisor are functions, which an exec undoes.
    """
    try:
        os.setsid()
        tree.die_with_parent()
        if os.getppid() != parent:  # it died before the kernel was asked to tell us
            os._exit(127)
        for number, end in enumerate(standard):  # also to let go of the daemon's line
            os.dup2(end, number)
        line = b""
        while not line.endswith(b"\n"):
            if not (said := os.read(order, _CHUNK)):
                os._exit(0)  # there is no work
            line += said
        _become(cast("Order", json.loads(line)), report)
    finally:
        os._exit(127)


def _become(order: Order, report: int) -> None:
    try:
        if not order["stdin"]:
            os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
        os.chdir(order["cwd"])
        if order["walls"] is not None:
            try:
                landlock.enter(landlock.ruleset(order["walls"]))
            except OSError as error:
                _report(report, NO_WALLS, f"this machine cannot hold it: {error.strerror}")
                return
        os.execve(order["program"], order["argv"], order["env"])  # noqa: S606 - no shell is the point
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        _report(report, SPAWN_FAILED, f"{order['program']}: {words}")


def _report(report: int, reason: str, words: str) -> None:
    os.write(report, json.dumps([reason, words]).encode())
