"""Orders reach a spoke however many and however large they are."""

from __future__ import annotations

import asyncio
from pathlib import Path

from protocol.session import State
from tests.support.world import ended, make_repository, world

LARGE = "x" * 200_000  # a few of them are more than a frame carries


async def test_large_prompts_that_waited_for_a_spoke_all_arrive(
    tmp_path: Path, hub_database: str
) -> None:
    repo = make_repository(tmp_path / "repo")
    async with world(tmp_path, hub_database) as here, here.client() as hub:
        made = await asyncio.gather(
            *(
                hub.spawn(f"large{n}", repo=repo, command="true", prompt=LARGE, until="queued")
                for n in range(12)
            )
        )
        await here.add_spoke("anvil")
        sessions = await ended(hub, *(one.session_id for one in made))
        assert {one.state for one in sessions} == {State.COMPLETED}
