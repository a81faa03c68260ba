"""One attempt under a supervisor of its own: to start, to look at, to stop, to clean up after."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from spoke import groups
from spoke.core.story import Stop
from spoke.process import Assignment, Exit, LadderTimes, Started, Supervisor, Supervisors
from spoke.spool import LIMIT_BYTES, Kind, Reader, Record
from spoke.supervisor.tree import look
from spoke.sweep import is_alive, kill_marked

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 30.0
SLOW: LadderTimes = {"termMs": 8_000, "killMs": 16_000, "sweepMs": 25_000}


async def until(question: Callable[[], object]) -> None:
    """Ask until the answer is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not question():
            await asyncio.sleep(0.002)


def marked(mark: str) -> list[int]:
    """Every process whose command line carries the mark, found without the code under test."""
    return [pid for pid, line in _command_lines() if mark.encode() in line]


def named(mark: str) -> list[int]:
    """Those that call themselves so, with `exec -a`: whatever they do before, they have done."""
    return [pid for pid, line in _command_lines() if line.startswith(mark.encode() + b"\0")]


def _command_lines() -> Iterator[tuple[int, bytes]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                yield int(folder.name), (folder / "cmdline").read_bytes()


def look_alive(pid: int) -> bool:
    process = look(pid)
    return process is not None and not process.is_dead


class Case:
    """One attempt in a folder of its own, which gives its session a name that no other test has: it
    is by that name that the whole machine is swept."""

    def __init__(self, supervisors: Supervisors) -> None:
        self.supervisors = supervisors
        self.folder = Path(tempfile.mkdtemp(prefix="coord-"))
        self.session = f"ses_{self.folder.name}"
        self.mark = f"mark-{self.session}-"
        self.started: Started | None = None
        self.line: Supervisor | None = None
        self.pushed = 0
        self.heard_the_end = False

    def assignment(self, *argv: str, **more: object) -> Assignment:
        marks = {"COORD_SESSION_ID": self.session, "COORD_ATTEMPT": "1", "MARK": self.mark}
        assignment: Assignment = {
            "session": self.session,
            "attempt": 1,
            "dir": str(self.folder),
            "socket": str(self.folder / "s"),
            "argv": list(argv),
            "env": {"PATH": os.environ["PATH"], **marks},
            "cwd": str(self.folder),
            "stdin": "open",
            "starting": {"sessionId": self.session},
            "ladder": SLOW,
            "spoolLimit": LIMIT_BYTES,
            "storedMs": 0,
            "greeting": None,
            "talk": None,
        }
        return cast("Assignment", {**assignment, **more})

    async def bash(self, script: str, **more: object) -> Supervisor:
        return await self.start("bash", "-c", script, **more)

    async def start(self, *argv: str, **more: object) -> Supervisor:
        await self.run(*argv, **more)
        return await self.connect()

    async def run(self, *argv: str, **more: object) -> None:
        """Start one that may have ended before anybody could connect."""
        self.started = await self.supervisors.start(self.assignment(*argv, **more))

    async def connect(self) -> Supervisor:
        self.line = await Supervisor.connect(self.folder / "s", self.on_spool)
        return self.line

    def on_spool(self, last: int, *, ended: bool) -> None:
        self.pushed, self.heard_the_end = last, ended

    def records(self) -> list[Record]:
        reader = Reader(self.folder / "spool")
        try:
            found: list[Record] = []
            while records := reader.read():
                found += records
            return found
        finally:
            reader.close()

    def kinds(self) -> list[Kind]:
        return [record.kind for record in self.records()]

    def text(self, kind: Kind = Kind.STDOUT) -> bytes:
        return b"".join(record.raw for record in self.records() if record.kind is kind)

    async def wait_said(self, text: str) -> None:
        await until(lambda: text.encode() in self.text())

    async def wait_exit(self) -> Exit:
        assert self.started is not None
        if self.line is not None:
            async with asyncio.timeout(PATIENCE_S):
                assert await self.line.wait_gone(), "it said that it was over"
        await until(lambda: self.started and not look_alive(self.started.supervisor_pid))
        records = self.records()
        assert records[-1].kind is Kind.EXITED
        ending: Exit = json.loads(records[-1].payload)
        assert not (self.folder / "exit.json").exists()
        assert self.line is None or self.pushed == records[-1].seq
        assert not (self.folder / "s").exists()
        return ending

    async def clean(self) -> None:
        if self.line is not None:
            await self.line.close()
        if self.started is not None and is_mine(self.started.supervisor_pid, self.folder):
            _kill(self.started.supervisor_pid)
        swept = await kill_marked(self.session, 1)
        for pid in marked(self.mark):
            _kill(pid)
        shutil.rmtree(self.folder)
        assert not swept.survivors


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it was about to go
        os.kill(pid, signal.SIGKILL)


def is_mine(pid: int, folder: Path) -> bool:
    identity = json.loads((folder / "supervisor.json").read_bytes())
    return identity["pid"] == pid and is_alive(pid, identity["startTime"])


@pytest.fixture
def doors() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="coord-") as folder:
        yield Path(folder)


@pytest.fixture
async def supervisors(tmp_path: Path, doors: Path) -> AsyncIterator[Supervisors]:
    """With control groups, where there are any."""
    born_in = groups.find(tmp_path)
    made = Supervisors(ROOT, groups=born_in, doors=doors)
    made.warm()
    yield made
    await made.close()
    if born_in is not None:
        groups.leave(born_in)


@pytest.fixture
async def case(supervisors: Supervisors) -> AsyncIterator[Case]:
    made = Case(supervisors)
    yield made
    await made.clean()


def stop(line: Supervisor, *, now: bool = False) -> None:
    line.stop(Stop("aborted", "asked by a test", now=now, by="test"))
