"""What the figures are measured on: a real Postgres, and processes that end with this one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from hub.embedded import binaries
from hub.embedded.cluster import Cluster, Endpoint
from tests.benchmarks.scale import Scale

ANSWER_S = 120.0  #: for any answer of a process
END_S = 10.0  #: for a process to end by itself
_TICKS = os.sysconf("SC_CLK_TCK")
_LINE = 1 << 24
_LAST_WORDS = 3_000


class Process:
    """One process of `tests.benchmarks.roles`; ``ready`` is the first thing that it said."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.ready: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, **request: object) -> dict[str, Any]:
        """Raises RuntimeError with its last words when it has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        return await self.hear()

    async def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_S):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"it ended: {self._log.read_text(errors='replace')[-_LAST_WORDS:]}")
        return json.loads(line)

    def cpu(self) -> float:
        """Seconds that it has used, and its children that have ended."""
        return sum(cpu_of(self.pid))

    def memory(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    async def end(self) -> None:
        """Ask it to end by closing its stdin; kill it by pid when it does not."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), END_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            await self._process.wait()


@dataclass(slots=True)
class Stage:
    """One figure's: what is started here is ended when the figure is done."""

    folder: Path
    server: Endpoint
    postmaster: int
    scale: Scale
    notes: list[str]
    _stack: AsyncExitStack
    _made: int = 0
    spokes: list[Path] = field(default_factory=list[Path])

    async def database(self) -> str:
        """The dsn of an empty database."""
        name = f"bench_{self._number()}_{self.folder.name.replace('-', '_')}"
        connection = await asyncpg.connect(self.server.dsn)
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        return self.server.dsn_of(name)

    async def start(self, role: str, **given: object) -> Process:
        log = self.folder / f"{role}-{self._number()}.log"
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", f"tests.benchmarks.roles.{role}", json.dumps(given),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors,
                limit=_LINE, start_new_session=True,
            )  # fmt: skip
        one = Process(process, log)
        self._stack.push_async_callback(one.end)
        one.ready = await one.hear()
        return one

    async def hub(self, **settings: object) -> Process:
        """A hub on a new database; it says ``url`` and ``token``."""
        state = self.folder / f"hub-{self._number()}"
        state.mkdir()
        return await self.start(
            "hub", dsn=await self.database(), state=str(state), settings=settings
        )

    async def spoke(self, hub: Process, name: str, pool: int) -> Process:
        """A spoke daemon that this hub has welcomed."""
        state = self.folder / name
        self.spokes.append(state)
        join = (await hub.ask(op="invite", name=name))["join"]
        return await self.start("spoke", state=str(state), join=join, pool=pool)

    def postgres_cpu(self) -> float:
        """Seconds that the server has used, with all that serve its connections."""
        return sum(cpu_of(self.postmaster)) + sum(
            cpu_of(one)[0] for one in children(self.postmaster)
        )

    def note(self, text: str) -> None:
        self.notes.append(text)

    def _number(self) -> int:
        self._made += 1
        return self._made


@dataclass(slots=True)
class Theatre:
    """Postgres, for all figures."""

    folder: Path
    scale: Scale
    notes: list[str]
    server: Endpoint
    postmaster: int

    @asynccontextmanager
    async def stage(self, name: str) -> AsyncGenerator[Stage]:
        folder = self.folder / name
        folder.mkdir()
        async with AsyncExitStack() as stack:
            stage = Stage(folder, self.server, self.postmaster, self.scale, self.notes, stack)
            stack.callback(lambda: end_supervisors(stage.spokes))
            try:
                yield stage
            except BaseException:
                _print_logs(folder)
                raise


@asynccontextmanager
async def theatre(folder: Path, scale: Scale) -> AsyncGenerator[Theatre]:
    """A durable Postgres (fsync on) below ``folder``."""
    cluster = Cluster(folder / "postgres", binaries.find(), durable=True)
    endpoint = await cluster.start()
    try:
        pid = int((cluster.layout.cluster / "postmaster.pid").read_text().split()[0])
        yield Theatre(folder, scale, [], endpoint, pid)
    finally:
        await cluster.stop()


def _print_logs(folder: Path) -> None:
    """The last words of each process, for whoever wonders why a figure failed."""
    for log in sorted(folder.glob("*.log")):
        if said := log.read_text(errors="replace")[-_LAST_WORDS:]:
            print(f"--- {log.name}\n{said}", file=sys.stderr)


def cpu_of(pid: int) -> tuple[float, float]:
    """Seconds used by a process, and by its children that have ended; nothing once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0
    user, system, of_children, system_of_children = (int(one) for one in fields[11:15])
    return (user + system) / _TICKS, (of_children + system_of_children) / _TICKS


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in listed.split()]


def end_supervisors(spokes: list[Path]) -> None:
    """By pid: a supervisor outlives its daemon, as it should. Its agents are its children."""
    for record in (path for spoke in spokes for path in spoke.glob("attempts/*/supervisor.json")):
        pid = int(json.loads(record.read_text())["pid"])
        try:
            is_ours = b"spoke.supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes()
        except FileNotFoundError:
            continue
        for one in [*(children(pid) if is_ours else []), *([pid] if is_ours else [])]:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
