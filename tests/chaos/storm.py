"""Carries a plan out over a town: spawns, aborts and messages that insist, and faults between."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

import asyncpg

import coord
from hub.embedded.cluster import Cluster
from protocol.errors import Conflict, FailedPrecondition, LinkLost, NotFound, Unavailable
from tests.chaos.plan import Abort, Break, Resume, Spawn, Step
from tests.support.agents import script
from tests.support.town import Town, agents_of
from tests.support.world import Daemon

T = TypeVar("T")

AGAIN_S: Final = 0.1
CUT_OFF: Final = 12.0  #: times as long as other faults last
#: What a caller may be told while things break; it asks again.
PASSING: Final = (LinkLost, Unavailable, OSError)


@dataclass(slots=True)
class Storm:
    town: Town
    cluster: Cluster
    repo: str
    done: Counter[str] = field(default_factory=Counter[str])
    sessions: dict[int, str] = field(default_factory=dict[int, str])  #: by their number in the plan
    trouble: list[str] = field(default_factory=list[str])
    _links: dict[int, coord.Hub] = field(default_factory=dict[int, coord.Hub])
    _opened: AsyncExitStack = field(default_factory=AsyncExitStack)
    _busy: dict[str, asyncio.Lock] = field(default_factory=dict[str, asyncio.Lock])

    async def run(self, steps: Sequence[Step]) -> None:
        """All of it, at the times of the plan; then everything is whole again."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self._opened, asyncio.TaskGroup() as group:
            for step in steps:
                await asyncio.sleep(began + step.at - loop.time())
                group.create_task(self._take(step))
            await self._mend_later(began, steps, group)

    async def _mend_later(
        self, began: float, steps: Sequence[Step], group: asyncio.TaskGroup
    ) -> None:
        """Calls insist until they are answered, so that links must be whole before they end."""
        last = max((step.at for step in steps if isinstance(step, Break)), default=0.0)
        await asyncio.sleep(max(0.0, began + last + 2 - asyncio.get_running_loop().time()))
        for way in self.town.ways.values():
            way.refusing = False
            way.free()

    async def _take(self, step: Step) -> None:
        match step:
            case Spawn():
                await self._spawn(step)
            case Abort(_, n, now):
                await self._abort(n, now=now)
            case Resume(_, n, elsewhere):
                await self._resume(n, elsewhere=elsewhere)
            case Break():
                await self._break(step)

    # What callers do.

    async def _spawn(self, step: Spawn) -> None:
        parent = self.sessions.get(step.parent) if step.parent is not None else None
        try:
            made = await self._insist(step.n, self._asked(step, parent))
        except FailedPrecondition as refused:
            if parent is None or refused.reason not in ("PARENT_ABORTED", "PARENT_ENDED"):
                self.trouble.append(f"spawn {step.n}: {refused}")
                raise
            made = await self._insist(step.n, self._asked(step, None))
        self.sessions[step.n] = made.session_id
        for m in range(step.messages):
            await self._say(step.n, f"m{m}", f"word {m}")
        if step.messages:
            await self._say(step.n, "end", "end")

    def _asked(
        self, step: Spawn, parent: str | None
    ) -> Callable[[coord.Hub], Awaitable[coord.Spawned]]:
        """Under its parent; or as nobody's child, where that was aborted or is over."""
        spoke = None if step.spoke is None else list(self.town.spokes)[step.spoke]
        key = f"key {step.n}" + (" below" if parent else "")

        async def ask(hub: coord.Hub) -> coord.Spawned:
            return await hub.spawn(
                f"{step.kind} {step.n}", repo=self.repo, until="queued", spoke=spoke,
                parent_session_id=parent, idempotency_key=key,
                on_lost="replace" if step.replace else "keep",
                command="sh", args=["-c", script(step.kind, step.lines)],
            )  # fmt: skip

        return ask

    async def _say(self, n: int, name: str, text: str) -> None:
        id = self.sessions[n]

        async def ask(hub: coord.Hub) -> object:
            return await hub.message(id, text, message_id=f"{id}.{name}", wait_ms=0)

        with suppress(FailedPrecondition):  # it has ended, or is being aborted
            await self._insist(n, ask)

    async def _abort(self, n: int, *, now: bool) -> None:
        id = await self._spawned(n)

        async def ask(hub: coord.Hub) -> object:
            return await hub.abort(id, now=now, wait=False)

        await self._insist(n, ask)

    async def _resume(self, n: int, *, elsewhere: bool) -> None:
        id = await self._spawned(n)

        async def ask(hub: coord.Hub) -> object:
            return await hub.resume(id, elsewhere=elsewhere, until="queued")

        # It lives, its parent was aborted, or what it needs cannot be reached: all true answers.
        with suppress(FailedPrecondition, Conflict):
            await self._insist(n, ask)

    async def _spawned(self, n: int) -> str:
        while n not in self.sessions:
            await asyncio.sleep(AGAIN_S)
        return self.sessions[n]

    async def _insist(self, n: int, ask: Callable[[coord.Hub], Awaitable[T]]) -> T:
        """Ask one hub, then the other, until one of them answers."""
        turn = n
        while True:
            turn += 1
            try:
                async with asyncio.timeout(10):
                    return await ask(await self._hub(turn % len(self.town.hubs)))
            except (*PASSING, TimeoutError):
                self._links.pop(turn % len(self.town.hubs), None)
                await asyncio.sleep(AGAIN_S)
            except NotFound as error:
                self.trouble.append(f"what was acknowledged is not there: {error}")
                raise

    async def _hub(self, n: int) -> coord.Hub:
        if n not in self._links:
            url = f"ws://127.0.0.1:{self.town.ports[n]}"
            opened = coord.connect(url, self.town.token)
            self._links[n] = await self._opened.enter_async_context(opened)
        return self._links[n]

    # What breaks.

    async def _break(self, step: Break) -> None:
        town, lasts = self.town, step.lasts
        hub = town.hubs[step.which % len(town.hubs)]
        name = list(town.spokes)[step.which % len(town.spokes)]
        way = town.ways[name]
        match step.fault:
            case "kill a hub":
                await self._restart(hub, lasts)
            case "kill a spoke daemon":
                await self._restart(town.spokes[name], lasts)
            case "kill a supervisor":
                self._kill_one(step.which, _supervisors(town))
            case "kill an agent":
                self._kill_one(step.which, agents_of(town.folder))
            case "kill database backends":
                await self._end_backends(step.which)
            case "crash Postgres":
                await self._crash()
            case "cut a link":
                way.cut()
            case "hold a link":
                ways = (("up",), ("down",), ("up", "down"))[step.which % 3]
                way.hold(*ways)  # type: ignore[arg-type]
                await asyncio.sleep(lasts)
                way.free()
            case "strand a link":
                way.hold("up")
                await asyncio.sleep(0.2)
                way.target = town.ports[step.which // 2 % 2]
                way.half_open()
                await asyncio.sleep(lasts)
                way.free()
            case "move a spoke to the other hub":
                way.target = town.ports[(town.ports.index(way.target) + 1) % 2]
                way.cut()
            case "freeze a hub":
                await self._freeze(hub, lasts)
            case "freeze a spoke daemon":
                await self._freeze(town.spokes[name], lasts)
            case "cut a spoke off":
                await self._cut_off(name, lasts * CUT_OFF)
            case unknown:
                raise AssertionError(unknown)
        self.done[step.fault] += 1

    def _lock(self, name: str) -> asyncio.Lock:
        return self._busy.setdefault(name, asyncio.Lock())

    async def _restart(self, daemon: Daemon, after: float) -> None:
        async with self._lock(str(daemon.log)):
            await daemon.kill()
            await asyncio.sleep(after)
            await daemon.start()

    async def _freeze(self, daemon: Daemon, lasts: float) -> None:
        async with self._lock(str(daemon.log)):
            with suppress(ProcessLookupError):
                os.kill(daemon.pid, signal.SIGSTOP)
                await asyncio.sleep(lasts)
                os.kill(daemon.pid, signal.SIGCONT)

    async def _cut_off(self, name: str, lasts: float) -> None:
        """Some for long enough to be replaced; one spoke at a time, so that somebody is there."""
        way = self.town.ways[name]
        async with self._lock("cut off"):
            way.refusing = True
            way.cut()
            await asyncio.sleep(lasts)
            way.refusing = False

    def _kill_one(self, which: int, pids: Sequence[int]) -> None:
        if pids:
            with suppress(ProcessLookupError):
                os.kill(pids[which % len(pids)], signal.SIGKILL)

    async def _end_backends(self, which: int) -> None:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with self.town.database() as db:
                pids = await db.fetch(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'coord-hub'"
                )
                some = random.Random(which).sample(pids, k=min(len(pids), 4))
                for row in some:
                    await db.execute("SELECT pg_terminate_backend($1)", row["pid"])

    async def _crash(self) -> None:
        async with self._lock("Postgres"):
            process = self.cluster._process
            assert process is not None
            os.kill(process.pid, signal.SIGQUIT)
            await self.cluster.wait_died()
            await self.cluster._launch()


def _supervisors(town: Town) -> list[int]:
    found: list[int] = []
    for record in sorted(town.folder.glob("spoke-*/attempts/*/supervisor.json")):
        with suppress(OSError, ValueError):
            pid = int(json.loads(record.read_text())["pid"])
            with open(f"/proc/{pid}/cmdline", "rb") as line:  # noqa: PTH123 - one of many
                if b"spoke.supervisor" in line.read():
                    found.append(pid)
    return found
