"""Taking a worktree away: what the caller waits for. Its files are erased later.

Three figures: the move to the trash alone; with the proof before it that nothing would be lost, by
a spoke that has saved the work behind the end of its session, as it does; and `coord.cleanup`, in
which the hub asks for that proof first, and the source is asked what it has.
"""

from __future__ import annotations

import asyncio
import time

import coord
from tests.benchmarks import ground
from tests.benchmarks.first_line import spokes_online, worktree
from tests.benchmarks.stage import Process, Stage
from tests.benchmarks.table import Row, at_most, latency

MOST_MS = 20.0
TIMED = ("rename", "git", "move", "remove", "cleanup")
GIT = "git worktree remove --force"


async def figure(stage: Stage) -> list[Row]:
    files = stage.scale.files[min(1, len(stage.scale.files) - 1)]
    repo = await asyncio.to_thread(ground.repository, stage.folder / "repo", files)
    hub = await stage.hub()
    spoke = await stage.spoke(hub, "fresh", pool=0)
    took: dict[str, list[float]] = {name: [] for name in TIMED}
    async with coord.connect(hub.ready["url"], hub.ready["token"]) as client:
        await spokes_online(client, 1)
        for n in range(stage.scale.rarely + 1):
            await _plain(stage, repo, n, took)
            await _ours(client, spoke, repo, took)
    name = f"removal, {files:,} files"
    git = latency(took["git"])
    return [
        at_most(f"{name}: to the trash", latency(took["move"]), MOST_MS, latency(took["rename"]),
                "rename away + git worktree prune"),
        Row(f"{name}: proof, and to the trash", latency(took["remove"]), git, GIT),
        Row(f"coord.cleanup, {files:,} files", latency(took["cleanup"]), git, GIT),
    ]  # fmt: skip


async def _plain(stage: Stage, repo: str, n: int, took: dict[str, list[float]]) -> None:
    ways = (("rename", ground.rename_and_prune), ("git", ground.remove))
    for name, way in ways:
        where = stage.folder / f"{name}{n}"
        await asyncio.to_thread(ground.add_and_exec, repo, where, where.name)
        took[name].append(await asyncio.to_thread(way, repo, where))


async def _ours(client: coord.Hub, spoke: Process, repo: str, took: dict[str, list[float]]) -> None:
    """Once by the spoke alone, and once by `coord.cleanup`."""
    for name in ("remove", "cleanup"):
        session = await client.spawn("work", repo=repo, command="true")
        await client.wait(session.session_id)
        await spoke.ask(op="settled", session=session.session_id)
        if name == "remove":
            said = await spoke.ask(op="remove", path=str(worktree(session.worktree)))
            took["remove"].append(said["took"])
            took["move"].append(said["took"] - said["proof"])
            continue
        began = time.perf_counter()
        cleaned = await client.cleanup(session.session_id)
        took[name].append(time.perf_counter() - began)
        assert cleaned.results[0].removed, cleaned
