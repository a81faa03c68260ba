"""What a supervisor is told to run, and what it says in the end: the JSON shapes, shared by both.

Keys are camelCase because these are the lines on the pipe and in the files. Times are Unix
milliseconds, durations milliseconds.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_JSON = json.JSONEncoder(separators=(",", ":"))


class LadderTimes(TypedDict):
    """When each rung of a stop comes, counted from the order."""

    termMs: int
    killMs: int
    sweepMs: int


class FenceTerms(TypedDict):
    """How long to go on without contact; ``path``: where the daemon writes when it had some."""

    path: str
    ms: int


class TalkOrder(TypedDict):
    """A conversation to have with the agent, in the tongue of this name.

    ``first`` is its first prompt; None: a message will be. ``lingerMs``: how long it is kept when
    it is idle; 0: it ends with its turn. ``minuteApart``: what is resumed waits for the next
    minute. ``base`` is the commit that the branch began with. ``permissions``: what it may do, as
    `protocol.permissions.layers` reads them; ``asked``: how many questions there were before.
    ``conversations``: the folder of their locks. ``quietMs``: how long it says nothing before that
    is told (0: never); ``maxSilenceMs``: before its turn is ended.
    """

    tongue: str
    first: str | None
    agentSessionId: str | None
    resume: bool
    lingerMs: int
    minuteApart: bool
    base: str
    permissions: Sequence[Mapping[str, object]]
    asked: int
    model: str | None
    instructions: str
    conversations: str
    quietMs: int
    maxSilenceMs: int | None


class Assignment(TypedDict):
    """One attempt. ``dir`` and ``cwd`` exist and, like ``socket``, are absolute.

    ``env`` is the whole environment of the agent. ``greeting`` is the first line on its stdin;
    with ``stdin`` closed the end of input follows it. ``starting`` is kept in the STARTING record.
    ``walls``: what the agent may reach, as `spoke.core.sandboxing` has it; None: it is not held.
    ``word``: what the daemon says with each request, and its agent does not know. ``storedMs``: how
    long an end that was told waits to hear that the hub has it, before it is made last here.
    """

    session: str
    attempt: int
    dir: str
    socket: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    stdin: Literal["open", "closed"]
    starting: Mapping[str, object]
    ladder: LadderTimes
    spoolLimit: int
    storedMs: int
    greeting: str | None
    talk: TalkOrder | None
    fence: NotRequired[FenceTerms | None]
    walls: NotRequired[Sequence[tuple[str, int]] | None]
    word: NotRequired[str]


Outcome = Literal["completed", "failed", "aborted", "blocked"]


class EndedProcess(TypedDict):
    pid: int
    name: str
    endedBy: str


class Exit(TypedDict):
    """The EXITED record; where the spool does not take it, exit.json.

    ``signal`` is what the agent died of; ``endedBy`` is the last signal the ladder sent it, or
    ``itself``, or ``never_started``: then ``message`` says more. ``processes`` (the first 64 of
    ``ended``) were signalled and are gone. The rest is of an agent with turns; ``committed``: its
    branch has a new commit (None: that could not be seen).
    """

    outcome: Outcome
    exitCode: int | None
    signal: str | None
    endedBy: str
    reason: str | None
    message: str | None
    stopAskedAt: int | None
    endedAt: int
    processes: list[EndedProcess]
    ended: int
    survivors: int
    droppedBytes: int
    failure: NotRequired[Mapping[str, object]]
    advice: NotRequired[str]
    usage: NotRequired[Mapping[str, object]]
    committed: NotRequired[bool | None]


def encode(value: Mapping[str, object]) -> bytes:
    """One line of ASCII JSON, without its newline."""
    return _JSON.encode(value).encode()


def write_whole(path: str, text: bytes, *, durable: bool = False) -> None:
    """Replace a file so that a reader sees the old or the new one, never a part."""
    draft = _draft(path, text, durable=durable)
    os.replace(draft, path)  # noqa: PTH105 - pathlib costs 10 ms at start


def write_first(path: str, text: bytes) -> None:
    """As `write_whole`. Raises FileExistsError where there is such a file."""
    draft = _draft(path, text, durable=False)
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        os.replace(draft, path)  # noqa: PTH105 - as above
    else:
        os.unlink(draft)  # noqa: PTH108 - as above


def _draft(path: str, text: bytes, *, durable: bool) -> str:
    draft = f"{path}.new"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        written = 0
        while written < len(text):  # a nearly full disk cuts a write short, and then refuses it
            written += os.write(fd, text[written:])
        # Not O_TRUNC: on ext4 the close of a file that was emptied waits for its blocks.
        os.ftruncate(fd, written)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    return draft
