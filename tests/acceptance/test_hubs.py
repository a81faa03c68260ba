"""Two hubs as processes: one is killed, and the other one knows and does all that it did."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import coord
from protocol.ops import catalogue as ops
from protocol.ops.sessions import SessionView
from tests.support.ports import free_port
from tests.support.world import (
    Daemon,
    World,
    ended,
    lines,
    make_repository,
    marked,
    story,
    waited,
    world,
)

COUNT = """n=0; while [ ! -e stop ]; do n=$((n+1)); echo "line $n"; sleep 0.05; done"""


async def _second(here: World) -> tuple[Daemon, str]:
    """Another hub on the same database, known to the first."""
    port, state = free_port(), here.folder / "hub-2"
    argv = list(here.hub.argv)
    argv[argv.index("--port") + 1] = str(port)
    argv[argv.index("--state") + 1] = str(state)
    hub = Daemon(argv, here.hub.env, here.folder / "hub-2.log")
    await hub.start_until(state / "admin-token")
    async with waited("both hubs are known"), here.client() as client:
        while len((await client.ask(ops.HUB_LIST, {})).hubs) < 2:
            await asyncio.sleep(0.05)
    return hub, f"ws://127.0.0.1:{port}"


async def test_a_killed_hub_is_replaced_by_the_other(tmp_path: Path, hub_database: str) -> None:
    repo = make_repository(tmp_path / "repo")
    async with world(tmp_path, hub_database) as here:
        second, url = await _second(here)
        try:
            await here.add_spoke("anvil")
            async with here.client() as hub:
                made = await hub.swarm(
                    ["one", "two", "three"], repo=repo, command="sh", args=["-c", COUNT]
                )
                ids = [one.session.session_id for one in made.results if one.session]
                assert len(ids) == 3, made.results
            before = _shells(*ids)
            await here.hub.kill()
            async with coord.connect(f"{here.url},{url}", here.token) as hub:
                assert hub.url == url
                await _goes_on(hub, ids[0])
                assert _shells(*ids) == before, "no agent noticed"
                trees = {one.session_id: str(one.worktree) for one in await _sessions(hub)}
                (Path(trees[ids[0]]) / "stop").touch()
                assert (await ended(hub, ids[0]))[0].state == "completed"
                said = lines(await story(hub, ids[0]))
                assert said == [f"line {n}" for n in range(1, len(said) + 1)]
                receipt = await hub.abort(ids[1])
                assert receipt.complete, receipt
                kinds = {event.kind for event in await story(hub, ids[2])}
                assert not kinds & {"unknown", "lost"}
                assert (await hub.abort(ids[2], now=True)).complete
            assert not marked(*ids)
        finally:
            await second.end()


def _shells(*ids: str) -> set[int]:
    """The agents themselves; what they fork comes and goes."""
    return {pid for pid, line in marked(*ids).items() if line.startswith("sh -c") and _leads(pid)}


def _leads(pid: int) -> bool:
    """What was forked and looked like its parent may be gone by now."""
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


async def _sessions(hub: coord.Hub) -> list[SessionView]:
    return (await hub.status(live=True)).sessions


async def _goes_on(hub: coord.Hub, id: str) -> None:
    """What its agent says now arrives here."""
    last = (await story(hub, id))[-1].seq
    async with waited("its agent says something"):
        async for event in hub.events(id, after=last):
            if event.kind == "stdout":
                return
