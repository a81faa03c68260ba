"""From `coord.spawn` to the first line of the agent, by the agent's own clock.

A note says who took which part of it: the hub until the order is at the spoke, the spoke until its
supervisor writes the first record (worktree and hand-over), the start of the agent until it looks
at its clock, and, not in the figure, the line's way to the client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import asyncpg

import coord
from protocol.ops.sessions import Event
from tests.benchmarks import ground
from tests.benchmarks.stage import Process, Stage
from tests.benchmarks.table import Row, at_most, latency, over_floor

OVER_FLOOR_MS = 10.0
POOLED_MS = {3: 10.0, 5_000: 50.0, 50_000: 200.0}
#: Where nothing else runs: 13 to 18 ms for `git worktree add -b` and 1 for the program, and so on.
FLOOR_MS = {3: 15.0, 5_000: 253.0, 50_000: 2_280.0}
#: Where nothing else runs: 2.8 ms for `git checkout -B` in a worktree that is there, 0.8 for the
#: program, 1.5 to store what is to be done and tell it.
BUDGET_MS = 5.0
BUDGET = "checkout -B, exec, INSERT"
NAMES = {3: "tiny", 5_000: "5,000 files", 50_000: "50,000 files"}
SETTLE_S = 0.25  #: between spawns; then the spare supervisor is there again, as on a quiet spoke
FLOOR = "git worktree add + exec"


async def figure(stage: Stage) -> list[Row]:
    hub = await stage.hub()
    fresh = await stage.spoke(hub, "fresh", pool=0)
    pooled = await stage.spoke(hub, "pooled", pool=1)
    rows: list[Row] = []
    async with coord.connect(hub.ready["url"], hub.ready["token"]) as client:
        await spokes_online(client, 2)
        for files in stage.scale.files:
            rows += await _repository(stage, client, fresh, pooled, files)
            if files == min(POOLED_MS):  # not behind the large ones, whose files are still written
                rows.append(await _beside_its_budget(stage, client, pooled))
    return rows


async def spokes_online(client: coord.Hub, how_many: int) -> None:
    async with asyncio.timeout(30):
        while sum(one.state == "online" for one in await client.spokes()) < how_many:
            await asyncio.sleep(0.02)


async def first_line(client: coord.Hub, session_id: str) -> Event:
    """The first line that an agent said."""
    async for event in client.events(session_id):
        if event.kind == "stdout":
            return event
    raise AssertionError(f"{session_id} said nothing")


async def _repository(
    stage: Stage, client: coord.Hub, fresh: Process, pooled: Process, files: int
) -> list[Row]:
    repo = await asyncio.to_thread(ground.repository, stage.folder / f"repo{files}", files)
    times = {3: stage.scale.times, 5_000: stage.scale.few, 50_000: stage.scale.rarely}[files]
    floors: list[float] = []
    took: dict[str, list[Parts]] = {"fresh": [], "pooled": []}
    for n in range(times + 1):
        one: dict[str, Parts] = {}
        for name, spoke in (("fresh", fresh), ("pooled", pooled)):
            await spoke.ask(op="ready", repo=repo)
            await asyncio.sleep(SETTLE_S)
            one[name] = await _spawn(client, repo, name, spoke)
        await pooled.ask(op="ready", repo=repo)
        if n == 0:  # that made the clones
            continue
        where = stage.folder / f"floor{files}-{n}"
        floors.append(await asyncio.to_thread(ground.add_and_exec, repo, where, f"floor{n}"))
        for name in took:
            took[name].append(one[name])
    for name, parts in took.items():
        stage.note(f"first line, {NAMES[files]}, {name}: {_shares(parts)}")
    ours, floor_value = latency([one.whole for one in took["fresh"]]), latency(floors)
    from_pool = latency([one.whole for one in took["pooled"]])
    return [
        over_floor(f"first line, {NAMES[files]}, fresh", ours, floor_value, OVER_FLOOR_MS, FLOOR,
                   1 + OVER_FLOOR_MS / FLOOR_MS[files]),
        at_most(f"first line, {NAMES[files]}, from the pool", from_pool,
                POOLED_MS[files], floor_value, FLOOR, POOLED_MS[files] / FLOOR_MS[files]),
    ]  # fmt: skip


async def _beside_its_budget(stage: Stage, client: coord.Hub, pooled: Process) -> Row:
    """What must be done in any case, one after the other, by git, the system and Postgres alone."""
    repo = str(stage.folder / "repo3")
    took: list[float] = []
    budget: list[float] = []
    async with _bare(stage, repo) as bare:
        for n in range(stage.scale.times):
            await pooled.ask(op="ready", repo=repo)
            await asyncio.sleep(SETTLE_S)
            took.append((await _spawn(client, repo, "pooled", pooled)).whole)
            budget.append(await bare(f"budget{n}"))
    name, most = f"first line, {NAMES[3]}, from the pool", POOLED_MS[3]
    return at_most(name, latency(took), most, latency(budget), BUDGET, most / BUDGET_MS)


@asynccontextmanager
async def _bare(stage: Stage, repo: str) -> AsyncGenerator[Callable[[str], Awaitable[float]]]:
    tree = stage.folder / "bare"
    await asyncio.to_thread(ground.add_and_exec, repo, tree, "bare")
    db = await asyncpg.connect(await stage.database())
    try:
        await db.execute("CREATE TABLE jobs (id bigserial PRIMARY KEY, job text NOT NULL)")

        async def once(branch: str) -> float:
            began = time.perf_counter()
            await db.execute("INSERT INTO jobs (job) VALUES ($1)", branch)
            stored = time.perf_counter() - began
            return stored + await asyncio.to_thread(ground.take_and_exec, tree, branch)

        yield once
    finally:
        await db.close()


@dataclass(frozen=True, slots=True)
class Parts:
    """Of one spawn, in seconds, in their order; the last is not part of the figure."""

    hub: float
    spoke: float
    start: float
    back: float

    @property
    def whole(self) -> float:
        return self.hub + self.spoke + self.start


def _shares(parts: Sequence[Parts]) -> str:
    return ", ".join(
        f"{words} {median(getattr(one, name) for one in parts) * 1e3:.1f} ms"
        for name, words in (
            ("hub", "hub"),
            ("spoke", "worktree and hand-over"),
            ("start", "start of the agent"),
            ("back", "and back to the client"),
        )
    )


async def _spawn(client: coord.Hub, repo: str, name: str, spoke: Process) -> Parts:
    command, *args = ground.CLOCK
    called = time.time_ns()
    session = await client.spawn(
        "clock", repo=repo, command=command, args=args, spoke=name, until="queued"
    )
    starting, line = await _first_two(client, session.session_id)
    seen = time.time_ns()
    came = (await spoke.ask(op="came", session=session.session_id))["came"]
    await client.wait(session.session_id)
    written = starting.at.timestamp() * 1e9
    clock = int(str(line.body["text"]))
    return Parts(
        *(ns / 1e9 for ns in (came - called, written - came, clock - written, seen - clock))
    )


async def _first_two(client: coord.Hub, session_id: str) -> tuple[Event, Event]:
    """The first word of the supervisor, and the first line of the agent."""
    starting = None
    async for event in client.events(session_id):
        if event.kind == "starting":
            starting = event
        if event.kind == "stdout" and starting is not None:
            return starting, event
    raise AssertionError(f"{session_id} said nothing")


def worktree(text: str | None) -> Path:
    assert text is not None
    return Path(text)
