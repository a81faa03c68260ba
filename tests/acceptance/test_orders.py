"""Orders reach a spoke however many and however large they are."""

from __future__ import annotations

import asyncio
from pathlib import Path

from protocol.session import State
from tests.support.world import ended, make_repository, world

LARGE = "x" * 200_000  # a few of them are more than a frame carries
COUNT_SIX = """
for n in 1 2 3 4 5 6; do
    read -r line
    echo "${line%%x*} ${#line}"
done
"""


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


async def test_large_messages_that_waited_for_a_spoke_all_arrive_in_order(
    tmp_path: Path, hub_database: str
) -> None:
    repo = make_repository(tmp_path / "repo")
    async with world(tmp_path, hub_database) as here, here.client() as hub:
        made = await hub.spawn(
            "listens", repo=repo, command="sh", args=["-c", COUNT_SIX], until="queued"
        )
        for n in range(1, 7):
            await hub.message(made.session_id, f"{n}{LARGE}", wait_ms=0)
        await here.add_spoke("anvil")
        [session] = await ended(hub, made.session_id)
        lines = [event async for event in hub.events(made.session_id) if event.kind == "stdout"]
    assert session.state is State.COMPLETED
    assert [line.body["text"] for line in lines] == [f"{n} {len(LARGE) + 1}" for n in range(1, 7)]
