"""Agents outlive daemons, and each record equals what is really there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import coord
from tests.support.world import (
    ended,
    lines,
    make_repository,
    marked,
    story,
    until,
    world,
)

# Counts aloud until it is told to stop, with a file as the sign.
COUNT = (
    """n=0; while [ ! -e stop ]; do n=$((n+1)); echo "line $n"; sleep 0.02; done; echo "last $n" """
)


def _leaders(ids: list[str]) -> dict[str, int]:
    """The first one of each: a shell that forks is there twice until its child has begun anew."""
    return {
        id: min((pid for pid, line in marked(id).items() if "line $n" in line), default=0)
        for id in ids
    }


def _check_lines(said: list[str]) -> None:
    """Every line once, in order."""
    count = int(said[-1].removeprefix("last "))
    assert said[:-1] == [f"line {n}" for n in range(1, count + 1)]


async def _spawn_counters(hub: coord.Hub, repo: str, many: int) -> dict[str, str]:
    swarmed = await hub.swarm(
        [f"count{n}" for n in range(many)], repo=repo, command="sh", args=["-c", COUNT]
    )
    made = [result.session for result in swarmed.results if result.session is not None]
    assert len(made) == many, swarmed.results
    return {one.session_id: str(one.worktree) for one in made}


async def test_a_killed_spoke_daemon_comes_back_to_its_agents(
    tmp_path: Path, hub_database: str
) -> None:
    repo = make_repository(tmp_path / "repo")
    async with world(tmp_path, hub_database, "anvil") as here, here.client() as hub:
        worktrees = await _spawn_counters(hub, repo, 8)
        before = _leaders(list(worktrees))
        assert all(before.values())
        await here.spokes["anvil"].kill()
        assert _leaders(list(worktrees)) == before, "no agent died with the daemon"
        seen = {id: (await story(hub, id))[-1].seq for id in worktrees}
        await here.spokes["anvil"].start()
        await asyncio.gather(*(_goes_on(hub, id, seq) for id, seq in seen.items()))
        assert _leaders(list(worktrees)) == before, "the same processes"
        for path in worktrees.values():
            (Path(path) / "stop").touch()
        for session in await ended(hub, *worktrees):
            assert session.state == "completed"
            _check_lines(lines(await story(hub, session.session_id)))


async def _goes_on(hub: coord.Hub, id: str, after: int) -> None:
    async for event in hub.events(id, after=after):
        if event.kind == "stdout":
            return


async def test_a_killed_hub_comes_back_to_the_truth(tmp_path: Path, hub_database: str) -> None:
    repo = make_repository(tmp_path / "repo")
    async with world(tmp_path, hub_database, "anvil", "forge") as here:
        async with here.client() as hub:
            worktrees = await _spawn_counters(hub, repo, 20)
        await here.hub.kill()
        ends = list(worktrees)[:10]  # these end while there is no hub
        for id in ends:
            (Path(worktrees[id]) / "stop").touch()
        await until(lambda: not any(_leaders(ends).values()), "they have ended")
        await here.hub.start()
        async with here.client() as hub:
            await here.online("anvil", "forge")
            for session in await ended(hub, *ends):
                assert session.state == "completed"
                _check_lines(lines(await story(hub, session.session_id)))
            running = list(worktrees)[10:]
            for session in (await hub.status(live=True)).sessions:
                assert session.session_id in running
                assert session.state == "running"
            assert all(_leaders(running).values()), "and they really run"
            for id in running:
                (Path(worktrees[id]) / "stop").touch()
            for session in await ended(hub, *running):
                _check_lines(lines(await story(hub, session.session_id)))


async def test_a_hub_that_is_asked_to_stop_says_goodbye(tmp_path: Path, hub_database: str) -> None:
    repo = make_repository(tmp_path / "repo")
    async with world(tmp_path, hub_database, "anvil") as here:
        async with here.client() as hub:
            worktrees = await _spawn_counters(hub, repo, 1)
        assert await here.hub.end() == 0, here.hub.said()
        assert await here.spokes["anvil"].end() == 0, here.spokes["anvil"].said()
        assert all(_leaders(list(worktrees)).values()), "agents go on"
        await here.hub.start()
        await here.spokes["anvil"].start()
        async with here.client() as hub:
            await here.online("anvil")
            for id, path in worktrees.items():
                (Path(path) / "stop").touch()
                await ended(hub, id)
