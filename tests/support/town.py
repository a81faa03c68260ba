"""A town: hubs on one Postgres and spokes behind proxies of their own, with short times.

Everything is a real process. `Town.inspector` says whether all records equal what is really there.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncpg
from pydantic import JsonValue

import coord
from coord.line import PATIENCE_SECONDS
from protocol import tokens
from protocol.errors import CallError
from spoke import app, groups
from spoke.settings import SpokeSettings
from tests.support.inspector import Inspector, marks
from tests.support.invariants import Seen
from tests.support.ports import free_port
from tests.support.proxy import Proxy, proxy_to
from tests.support.world import PATIENCE, Daemon, until, waited

Settings = Mapping[str, JsonValue]

QUICK_HUB: Settings = {"heartbeat_seconds": 1, "grace_seconds": 1}
#: What a hub takes for a stall of its own is less than half a lease, so that no session is called
#: unknown because the whole machine stood still.
SHORT_LEASES: Settings = {
    "reaper_seconds": 0.5, "heartbeat_seconds": 0.5, "lease_seconds": 2.5, "grace_seconds": 0.5,
}  # fmt: skip
QUICK_SPOKE: Settings = {"term_ms": 200, "kill_ms": 400, "sweep_ms": 10_000, "slots": 400}
LOOK_S = 0.05


@dataclass(slots=True)
class Town:
    folder: Path
    dsn: str
    hubs: list[Daemon] = field(default_factory=list[Daemon])
    ports: list[int] = field(default_factory=list[int])
    spokes: dict[str, Daemon] = field(default_factory=dict[str, Daemon])
    ways: dict[str, Proxy] = field(default_factory=dict[str, Proxy])  #: of each spoke to its hub
    homes: dict[str, int] = field(default_factory=dict[str, int])  #: the port of that hub
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    hub_settings: Settings = field(default_factory=dict[str, JsonValue])

    inspector: Inspector = field(init=False)

    def __post_init__(self) -> None:
        self.inspector = Inspector(self.folder, self.dsn)

    @property
    def hub(self) -> Daemon:
        return self.hubs[0]

    @property
    def token(self) -> str:
        return (self.folder / "hub0" / "admin-token").read_text().strip()

    def state(self, spoke: str) -> Path:
        return self.folder / f"spoke-{spoke}"

    async def add_hub(self, **settings: JsonValue) -> Daemon:
        """One more hub on the same database; returns once it answers."""
        n = len(self.hubs)
        state = self.folder / f"hub{n}"
        port = free_port()
        said = {
            "database_url": self.dsn, "port": port, "http_port": 0, "state": str(state),
            **QUICK_HUB, **self.hub_settings, **settings,
        }  # fmt: skip
        daemon = Daemon(_argv("hub", said), _environ(self.folder), self.folder / f"hub{n}.log")
        self.hubs.append(daemon)
        self.ports.append(port)
        await daemon.start_until(state / "admin-token")
        return daemon

    async def add_spoke(self, name: str, hub: int = 0, **settings: JsonValue) -> Daemon:
        """Enroll a spoke, over a proxy of its own, and start it."""
        home = self.homes[name] = self.ports[hub]
        way = self.ways[name] = await self.stack.enter_async_context(proxy_to(home))
        said: dict[str, JsonValue] = {**QUICK_SPOKE, "state": str(self.state(name)), **settings}
        async with self.client(hub) as asked:
            invited = await asked.call("spoke.invite", {"name": name})
        assert isinstance(invited, dict)
        ticket = tokens.read_join(str(invited["join"]))
        # Through its proxy and no other way, so that the proxy decides whom it reaches.
        join = replace(ticket, url=f"ws://127.0.0.1:{way.port}", also=())
        await app.join(SpokeSettings(state=self.state(name)), str(join), None)
        log = self.folder / f"{name}.log"
        daemon = Daemon(_argv("spoke", said), _environ(self.folder), log)
        self.spokes[name] = daemon
        await daemon.start()
        await self.online(name)
        return daemon

    @asynccontextmanager
    async def client(
        self, hub: int = 0, patience: float = PATIENCE_SECONDS
    ) -> AsyncGenerator[coord.Hub]:
        """A client of one hub, as soon as that answers; lost, it is dialled again so long."""
        url = f"ws://127.0.0.1:{self.ports[hub]}"
        async with AsyncExitStack() as stack:
            async with waited(f"hub {hub} answers"):
                while True:
                    try:
                        entered = coord.connect(url, self.token, patience=patience)
                        connected = await stack.enter_async_context(entered)
                        break
                    except (CallError, OSError):
                        await asyncio.sleep(LOOK_S)
            yield connected

    @asynccontextmanager
    async def database(self) -> AsyncGenerator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.dsn, server_settings={"search_path": "coord"})
        try:
            yield connection
        finally:
            with suppress(OSError, asyncpg.PostgresError):
                await connection.close()

    async def online(self, *names: str, hub: int = 0) -> None:
        async with waited(f"{names} are online"), self.client(hub) as asked:
            while True:
                there = {one.name for one in await asked.spokes() if one.state == "online"}
                if there >= set(names):
                    return
                await asyncio.sleep(LOOK_S)

    async def cordon(self, name: str, *, cordoned: bool = True) -> None:
        async with self.client() as asked:
            await asked.call("spoke.cordon", {"spoke": name, "cordoned": cordoned})

    async def back(self, *names: str) -> None:
        """Until each of these has shaken hands once more: its epoch is another one."""
        before = await self.epochs(*names)
        await self.moved_on(before)

    async def epochs(self, *names: str) -> dict[str, int]:
        async with self.database() as db:
            return await _epochs(db, *names)

    async def moved_on(self, before: Mapping[str, int]) -> None:
        async with waited(f"the epochs are beyond {dict(before)}"), self.database() as db:
            while any(now <= before[name] for name, now in (await _epochs(db, *before)).items()):
                await asyncio.sleep(LOOK_S)

    async def settled(self) -> Seen:
        """Wait until nothing is going to happen any more, and check that all is as it should be:
        where that takes too long, this says what is not."""
        with suppress(TimeoutError):
            await self.quiet(PATIENCE)
        return await self.inspector.check()

    async def quiet(self, within: float) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(within), self.database() as db:
            while await _is_busy(db):
                await asyncio.sleep(LOOK_S)

    async def clear(self) -> None:
        """Whatever a test has left of itself is ended, links are whole again and lead where they
        did, and daemons that it stopped or ended run."""
        for name, way in self.ways.items():
            way.target = self.homes[name]
            way.refusing = False
            way.free()
        for daemon in (*self.hubs, *self.spokes.values()):
            if daemon.runs:
                os.kill(daemon.pid, signal.SIGCONT)
            else:
                await daemon.start()
        async with self.database() as db:
            busy = await _is_busy(db)
        if busy:
            async with self.client() as hub:
                for session in (await hub.status(live=True)).sessions:
                    with suppress(CallError):
                        await hub.abort(session.session_id, now=True, wait_ms=5_000)

    async def watch_spools(self) -> None:
        while True:
            self.inspector.keep_spools()
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def town(
    folder: Path, dsn: str, *spokes: str, hubs: int = 1, hub_settings: Settings | None = None
) -> AsyncGenerator[Town]:
    """Hubs, and spokes at the first of them; all ended afterwards, with what they ran."""
    _furnish(folder)
    here = Town(folder, dsn, hub_settings=hub_settings or {})
    watching = asyncio.create_task(here.watch_spools(), name="spools")
    try:
        async with here.stack:
            try:
                for _ in range(hubs):
                    await here.add_hub()
                for name in spokes:
                    await here.add_spoke(name)
                yield here
            finally:
                # A spoke that cannot reach its hub would wait for it politely.
                await asyncio.gather(*(one.kill() for one in (*here.spokes.values(), *here.hubs)))
                end_everything(folder)
                await _leave_groups(folder)
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def _epochs(db: asyncpg.Connection, *names: str) -> dict[str, int]:
    rows = await db.fetch("SELECT name, epoch FROM spokes WHERE name = ANY ($1)", names)
    return {row["name"]: row["epoch"] for row in rows}


async def _is_busy(db: asyncpg.Connection) -> bool:
    """Whether a session is live, or a process is left of one."""
    if await db.fetchval("SELECT count(*) FROM sessions WHERE finished_at IS NULL"):
        return True
    there = [id for id, _ in marks().values()]
    return bool(
        there
        and await db.fetchval("SELECT count(*) FROM sessions WHERE session_id = ANY ($1)", there)
    )


def end_everything(folder: Path) -> None:
    """Kill the supervisors and agents of a town, by pid: they outlive daemons, as they should."""
    for record in folder.glob("spoke-*/attempts/*/supervisor.json"):
        with suppress(OSError, ValueError):
            pid = int(json.loads(record.read_text())["pid"])
            if b"spoke.supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
    for pid in agents_of(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def agents_of(folder: Path) -> list[int]:
    """What agents of this town run, and of no other on this machine: it may be somebody's work."""
    states, found = str(folder).encode(), list[int]()
    for pid in sorted(marks()):
        with suppress(OSError):
            if states in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
    return found


async def _leave_groups(folder: Path) -> None:
    """What was killed could not tidy up after itself."""
    for state in folder.glob("spoke-*"):
        if (found := groups.find(state)) is None:
            continue
        for group in found.glob("*/"):
            groups.kill(group)
        await until(lambda found=found: not groups.members(found), f"{found} is empty")
        groups.leave(found)


def _furnish(folder: Path) -> None:
    (folder / "home").mkdir()
    identity = "[user]\n\tname = agent\n\temail = agent@example.invalid\n"
    (folder / "home" / ".gitconfig").write_text(identity)


def _environ(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_STATE_HOME": str(folder / "xdg-state"),
        "LANG": "C.UTF-8",
    }


def _argv(kind: str, settings: Settings) -> list[str]:
    return [sys.executable, "-m", "tests.support.daemon", kind, json.dumps(settings)]
