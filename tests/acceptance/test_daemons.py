"""Agents outlive daemons, and each record equals what is really there."""

from __future__ import annotations

from pathlib import Path

import coord
from tests.support.world import ended, make_repository, marked, world

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


async def _spawn_counters(hub: coord.Hub, repo: str, many: int) -> dict[str, str]:
    swarmed = await hub.swarm(
        [f"count{n}" for n in range(many)], repo=repo, command="sh", args=["-c", COUNT]
    )
    made = [result.session for result in swarmed.results if result.session is not None]
    assert len(made) == many, swarmed.results
    return {one.session_id: str(one.worktree) for one in made}


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
