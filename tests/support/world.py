"""Whole processes: a hub and its spokes, started, killed and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import coord
from protocol.errors import CallError
from protocol.ops.sessions import Event, SessionView
from spoke import groups
from spoke.sweep import is_alive
from tests.support.ports import free_port
from tests.support.repositories import make_repository

COORDCTL = str(Path(sys.executable).with_name("coordctl"))
PATIENCE = 60.0  # seconds for anything that should happen


@asynccontextmanager
async def waited(what: str) -> AsyncGenerator[None]:
    """For whatever should happen; the error says what did not."""
    patience = asyncio.timeout(PATIENCE)
    try:
        async with patience:
            yield
    except TimeoutError:
        if not patience.expired():
            raise  # of something within, which says more
        raise TimeoutError(f"waited {PATIENCE:.0f} s until {what}") from None


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a named condition of this machine; looking takes a fifth of the time at most, since
    what it waits for needs the processor too."""
    async with waited(what):
        while True:
            began = time.thread_time()
            if condition():
                return
            await asyncio.sleep(max(0.02, 4 * (time.thread_time() - began)))


def marked(*sessions: str) -> dict[int, str]:
    """The processes whose environment carries one of these sessions: pid -> command line."""
    marks = [f"COORD_SESSION_ID={id}".encode() for id in sessions]
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environ = (entry / "environ").read_bytes().split(b"\0")
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if any(mark in environ for mark in marks):
            found[int(entry.name)] = line
    return found


@dataclass(slots=True)
class Daemon:
    """One process of ours, and where it writes what it says."""

    argv: list[str]
    env: Mapping[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = await asyncio.create_subprocess_exec(
                *self.argv, env=self.env, stdout=out, stderr=out, stdin=asyncio.subprocess.DEVNULL
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start_until(self, sign: Path) -> None:
        """Start it, and wait for the file that it makes once it is up."""
        await self.start()
        await until(lambda: sign.exists() or not self.runs, f"{sign} is there")
        assert self.runs, self.said()

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def kill(self) -> None:
        await self.end(signal.SIGKILL)

    async def end(self, with_signal: int = signal.SIGTERM) -> int | None:
        """Signal it and wait for its end; its exit status."""
        if not self.runs:
            return None
        assert self.process is not None
        with suppress(ProcessLookupError):  # it has just ended by itself
            self.process.send_signal(with_signal)
        return await asyncio.wait_for(self.process.wait(), PATIENCE)

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass(slots=True)
class World:
    folder: Path
    dsn: str
    url: str
    hub: Daemon
    spokes: dict[str, Daemon] = field(default_factory=dict[str, Daemon])

    @property
    def token(self) -> str:
        return (self.folder / "hub" / "admin-token").read_text().strip()

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[coord.Hub]:
        """A client, as soon as the hub answers."""
        async with AsyncExitStack() as stack:
            async with waited(f"the hub answers at {self.url}"):
                while True:
                    try:
                        hub = await stack.enter_async_context(coord.connect(self.url, self.token))
                        break
                    except (CallError, OSError):
                        await asyncio.sleep(0.05)
            yield hub

    async def add_spoke(self, name: str, *words: str, slots: int = 64) -> Daemon:
        """Enroll a spoke through the ordinary join flow, and start it with these words."""
        state = self.folder / f"spoke-{name}"
        async with self.client() as hub:
            invited = await hub.call("spoke.invite", {"name": name, "slots": slots})
        assert isinstance(invited, dict)
        join = [COORDCTL, "spoke", "join", str(invited["join"]), "--state", str(state)]
        joining = Daemon(join, self.hub.env, self.folder / f"join-{name}.log")
        await joining.start()
        assert joining.process is not None
        assert await joining.process.wait() == 0, joining.said()
        run = [COORDCTL, "spoke", "run", "--state", str(state), "--slots", str(slots), *words]
        daemon = self.spokes[name] = Daemon(run, self.hub.env, self.folder / f"{name}.log")
        await daemon.start()
        await self.online(name)
        return daemon

    async def clear(self) -> None:
        """What a test has left of itself is ended, and daemons that it ended run again."""
        away = [name for name, daemon in self.spokes.items() if not daemon.runs]
        for daemon in (self.hub, *self.spokes.values()):
            if not daemon.runs:
                await daemon.start()
        if away:
            await self.online(*away)
        async with self.client() as hub:
            for session in (await hub.status(live=True)).sessions:
                with suppress(CallError):
                    await hub.abort(session.session_id, now=True)

    async def coordctl(self, *words: str) -> str:
        """What a command says, whatever its exit code."""
        env = {**self.hub.env, "COORD_URL": self.url, "COORD_TOKEN": self.token}
        process = await asyncio.create_subprocess_exec(
            COORDCTL, *words, env=env, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        return out.decode()

    async def online(self, *names: str) -> None:
        async with waited(f"{names} are online"), self.client() as hub:
            while True:
                there = {one.name for one in await hub.spokes() if one.state == "online"}
                if there >= set(names):
                    return
                await asyncio.sleep(0.05)


@asynccontextmanager
async def world(
    folder: Path, dsn: str, *spokes: str, more_env: Mapping[str, str] | None = None
) -> AsyncGenerator[World]:
    """A hub on a database, and spokes by name; all ended afterwards, with what they ran."""
    port = free_port()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_STATE_HOME": str(folder / "xdg-state"),
        "LANG": "C.UTF-8",
        **(more_env or {}),
    }
    (folder / "home").mkdir(exist_ok=True)
    identity = "[user]\n\tname = agent\n\temail = agent@example.invalid\n"
    (folder / "home" / ".gitconfig").write_text(identity)
    argv = [
        COORDCTL, "hub", "serve", "--database-url", dsn, "--port", str(port), "--http-port", "0",
        "--state", str(folder / "hub"),
    ]  # fmt: skip
    here = World(folder, dsn, f"ws://127.0.0.1:{port}", Daemon(argv, env, folder / "hub.log"))
    try:
        await here.hub.start_until(folder / "hub" / "admin-token")
        for name in spokes:
            await here.add_spoke(name)
        yield here
    finally:
        for daemon in (*here.spokes.values(), here.hub):
            await daemon.end()
        _end_leftovers(folder)


def _end_leftovers(folder: Path) -> None:
    """End the supervisors of this world, by pid: they outlive their daemons, as they should."""
    for record in folder.glob("spoke-*/attempts/*/supervisor.json"):
        with suppress(OSError):  # one that has just ended, and its folder
            found = json.loads(record.read_bytes())
            if is_alive(found["pid"], found["startTime"]):
                os.kill(found["pid"], signal.SIGKILL)
    for state in folder.glob("spoke-*"):
        if (born_in := groups.find(state)) is not None:
            groups.leave(born_in)


async def ended(hub: coord.Hub, *ids: str) -> list[SessionView]:
    said = await hub.wait(*ids, timeout_ms=int(PATIENCE * 1_000))
    assert said.reached, [(one.task, one.state) for one in said.sessions]
    return said.sessions


async def view_when(hub: coord.Hub, id: str, holds: Callable[[SessionView], bool]) -> SessionView:
    """A session as soon as this holds of it; the error shows how it was last."""
    (view,) = (await hub.status(session_id=id)).sessions
    try:
        async with asyncio.timeout(PATIENCE):
            while not holds(view):
                await asyncio.sleep(0.05)
                (view,) = (await hub.status(session_id=id)).sessions
    except TimeoutError:
        raise TimeoutError(f"after {PATIENCE:.0f} s it was still {view}") from None
    return view


async def story(hub: coord.Hub, id: str) -> list[Event]:
    """All there is of a session now; its sequence is gapless."""
    events = [event async for event in hub.events(id, follow=False)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return events


def lines(events: list[Event]) -> list[str]:
    return [str(event.body.get("text")) for event in events if event.kind == "stdout"]


__all__ = [
    "Daemon", "World", "ended", "lines", "make_repository", "marked", "story", "until",
    "view_when", "waited", "world",
]  # fmt: skip
