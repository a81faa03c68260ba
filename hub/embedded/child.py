"""Starts PostgreSQL's programs: as a user they accept, in a session of their own, tied to us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from hub.embedded import launch
from protocol.errors import CallError, FailedPrecondition

_NOBODY: Final = 65534
_TAIL_LINES: Final = 6

# Nothing of ours is handed down: PGDATA, PGPORT, PGOPTIONS and the locale would all be obeyed.
_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def launch_command(program: Sequence[str]) -> list[str]:
    """The argv that becomes `program` and gets SIGINT when the calling *thread* ends."""
    stand_in = _stand_in()
    return [
        sys.executable,
        "-I",
        "-S",
        launch.__file__,
        str(os.getpid()),
        "-" if stand_in is None else str(stand_in),
        *program,
    ]


async def spawn(program: Sequence[str], output: IO[bytes] | int) -> asyncio.subprocess.Process:
    """Start `program`, its output to a file or `asyncio.subprocess.PIPE`.

    It follows the thread that calls this, which therefore has to be the thread of a loop that
    lives as long as the program should.
    """
    return await asyncio.create_subprocess_exec(
        *launch_command(program),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.STDOUT,
        cwd="/",
        env=_ENVIRONMENT,
        start_new_session=True,
    )


async def kill_session(process: asyncio.subprocess.Process) -> None:
    """Kill what `spawn` started, and see it dead."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def failure(program: Path, status: int, said: str) -> CallError:
    """The error for a program that ended with `status` after writing `said`."""
    tail = "; ".join(said.strip().splitlines()[-_TAIL_LINES:]) or "it said nothing"
    if status == launch.NO_NAMESPACE:
        return FailedPrecondition(
            "NO_USER_NAMESPACE",
            "PostgreSQL refuses to run as root or as a user without an account, and this machine"
            f" does not allow the user namespace that would hide it: {tail}",
            advice="run it as an ordinary user, or set DATABASE_URL",
        )
    return FailedPrecondition(
        "POSTGRES_FAILED", f"{program} ended with status {status}: {tail}", details={"exit": status}
    )


def _stand_in() -> int | None:
    """The user to appear as, or None where PostgreSQL accepts the one we are."""
    euid = os.geteuid()
    if euid != 0 and _has_account(euid):
        return None
    if _has_account(_NOBODY):
        return _NOBODY
    return next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0), _NOBODY)


def _has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
