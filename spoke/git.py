"""The only place that starts git.

git is told everything by its environment and argv, and both are built here from nothing: no
variable of the daemon, no configuration of the machine or of the person reaches it. It runs in a
session of its own, and when the caller goes, git and whatever it started go first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import DeadlineExceeded, FailedPrecondition, ResourceExhausted
from spoke import gitconfig, idle, locks
from spoke.flight import until_done

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TIMEOUT: Final = 120.0  #: seconds
OUTPUT_MAX: Final = 16 << 20  #: bytes of stdout
STDERR_TAIL: Final = 4_000  #: bytes kept of what git complained about
_CHUNK: Final = 1 << 16
GRACE: Final = 1.0  #: seconds in which git may remove its own lock files before it is killed

_LOCKED: Final = re.compile(r"Unable to create '(?P<path>[^'\n]+\.lock)': File exists")


class GitFailed(FailedPrecondition):
    """git could not; `stderr` is the end of what it said, `status` its exit code (-n: signal n)."""

    def __init__(self, argv: Sequence[str], status: int, stderr: str) -> None:
        self.stderr = stderr
        self.status = status
        super().__init__(
            "GIT_FAILED",
            f"git {argv[0] if argv else ''} failed with {status}: {_gist(stderr)}",
            details={"stderr": stderr[-1_000:], "status": status},
        )


def _gist(stderr: str) -> str:
    """The line that says what was wrong; after it git often goes on with advice."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    wrong = (line for line in lines if line.startswith(("fatal:", "error:")))
    return next(wrong, lines[-1] if lines else "no word")


class Git:
    """git, in an environment of our own.

    `home` is a directory for us alone. `path` is where git and ssh are found. `ssh_auth_sock` is
    the one thing of the person's that passes. `credential_helper` is a git credential helper, for
    https, where the spoke's settings allow it.
    """

    def __init__(
        self,
        home: Path,
        *,
        path: str = DEFAULT_PATH,
        ssh_auth_sock: str | None = None,
        credential_helper: str | None = None,
    ) -> None:
        found = shutil.which("git", path=path)
        if found is None:
            raise FailedPrecondition(
                "NO_GIT", f"git is not in {path}", advice="install git 2.37 or newer"
            )
        self._git = found
        self._home = home
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        owned = home / "gitconfig"
        owned.write_text(gitconfig.owned(credential_helper))
        self._env = {
            "PATH": path,
            "HOME": str(home),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(owned),
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "file:https:ssh",
            **gitconfig.firm(),
        }
        if ssh_auth_sock is not None:
            self._env["SSH_AUTH_SOCK"] = ssh_auth_sock

    async def run(
        self,
        argv: Sequence[str],
        *,
        git_dir: Path,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - it ends git, not only the wait
        niceness: int = 0,
    ) -> str:
        """What git wrote to stdout, as text in which undecodable bytes are surrogates.

        Raises `GitFailed`; `ResourceExhausted` GIT_OUTPUT beyond 16 MiB; `DeadlineExceeded`
        GIT_TIMEOUT. However it ends, nothing that git started is left, and no lock of its making.
        """
        run = _Run(argv, git_dir, stdin, timeout, niceness)
        variables = {
            **self._env,
            "GIT_DIR": str(git_dir),
            "GIT_COMMON_DIR": str(git_dir),
            **(env or {}),
        }
        try:
            return await self._once(run, variables)
        except GitFailed as failure:
            lock = _LOCKED.search(failure.stderr)
            common = Path(variables["GIT_COMMON_DIR"])
            if lock is None or not locks.break_stale(Path(lock["path"]), common.parent):
                raise
        return await self._once(run, variables)

    async def _once(self, run: _Run, variables: Mapping[str, str]) -> str:
        began = time.time()
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                self._git,
                *run.argv,
                env=variables,
                cwd=self._home,
                stdin=asyncio.subprocess.DEVNULL if run.stdin is None else asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        )
        ended = False
        try:
            async with asyncio.timeout(run.timeout):
                process = await asyncio.shield(starting)
                _be_nice(process.pid, run.niceness)
                out, err = await _converse(process, run.stdin)
                status = await process.wait()
            ended = True
        except TimeoutError as late:
            raise DeadlineExceeded(
                "GIT_TIMEOUT", f"git {run.argv[0]} took over {run.timeout:g} s and was killed"
            ) from late
        finally:
            if not ended:
                await until_done(_end(starting, run.git_dir, began))
        if status != 0:
            raise GitFailed(run.argv, status, err.decode(errors="replace"))
        return os.fsdecode(out)


@dataclass(frozen=True, slots=True)
class _Run:
    argv: Sequence[str]
    git_dir: Path
    stdin: bytes | None
    timeout: float
    niceness: int


async def _converse(process: Process, stdin: bytes | None) -> tuple[bytes, bytes]:
    err = asyncio.ensure_future(_tail(_there(process.stderr)))
    fed = asyncio.ensure_future(_feed(process, stdin))
    try:
        out = await _whole(_there(process.stdout))
        await fed
        return out, await err
    finally:
        err.cancel()
        fed.cancel()


async def _whole(stream: asyncio.StreamReader) -> bytes:
    kept = bytearray()
    while chunk := await stream.read(_CHUNK):
        kept += chunk
        if len(kept) > OUTPUT_MAX:
            raise ResourceExhausted(
                "GIT_OUTPUT", f"git wrote over {OUTPUT_MAX >> 20} MiB and was stopped"
            )
    return bytes(kept)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while chunk := await stream.read(_CHUNK):
        kept = (kept + chunk)[-STDERR_TAIL:]
    return kept


async def _feed(process: Process, text: bytes | None) -> None:
    if process.stdin is None or text is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(text)
        await process.stdin.drain()
    process.stdin.close()


async def _end(starting: asyncio.Future[Process], git_dir: Path, began: float) -> None:
    """Ends git and all it started: asked first, so that it removes its locks, then killed."""
    try:
        process = await starting
    except OSError:
        return  # it never was
    if process.stdin is not None:
        process.stdin.close()
    _signal(process.pid, signal.SIGTERM)
    obeyed = await _closed(process)
    _signal(process.pid, signal.SIGKILL)
    if not obeyed:
        await _closed(process)
    await process.wait()
    # Even a git that obeys leaves a lock if it is told between making and registering it.
    await asyncio.to_thread(locks.sweep, git_dir, began)


async def _closed(process: Process) -> bool:
    """Whether, within the grace, every process that holds git's output has gone."""
    try:
        async with asyncio.timeout(GRACE):
            for stream in (_there(process.stdout), _there(process.stderr)):
                while await stream.read(_CHUNK):
                    pass
    except TimeoutError:
        return False
    return True


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _be_nice(pid: int, niceness: int) -> None:
    if niceness == idle.NICEST:
        idle.calm_session(pid)
    elif niceness:
        idle.calm(pid, niceness)


def _there(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    assert stream is not None  # noqa: S101 - we asked for pipes; the type cannot say so
    return stream
