"""The hub dies: between any two steps, under load, for long."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from tests.support.agents import COUNT, SLOW_COUNT, check_count
from tests.support.inspector import marks
from tests.support.town import Town
from tests.support.world import ended, lines, story, until, waited

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _when(db: asyncpg.Connection, question: str, *params: object) -> None:
    async with waited(question):
        while not await db.fetchval(question, *params):
            await asyncio.sleep(0.01)


async def test_fault_01_killed_between_the_commit_of_a_spawn_and_its_order(
    here: Town, repo: str
) -> None:
    """Placement waits for the row of the spoke, which we hold: the spawn is stored, not told."""
    async with here.database() as ours, here.client(patience=1) as hub:
        asked = {"repo": repo, "spoke": "anvil", "command": "sh", "args": ["-c", COUNT]}
        async with ours.transaction():
            await ours.execute("SELECT FROM spokes WHERE name = 'anvil' FOR UPDATE")
            calling = asyncio.create_task(hub.spawn("one", idempotency_key="k1", **asked))
            async with here.database() as db:
                await _when(db, "SELECT count(*) FROM sessions WHERE idem_key = 'k1'")
            await here.hub.kill()
        await asyncio.wait([calling])
        assert calling.exception() is not None
    await here.hub.start()
    async with here.client() as hub:
        made = await hub.spawn("one", idempotency_key="k1", until="running", **asked)
        assert not made.created, "it is the session of the first call"
        (Path(str(made.worktree)) / "stop").touch()
        [session] = await ended(hub, made.session_id)
        assert (session.state, session.attempt) == ("completed", 1)
        check_count(lines(await story(hub, made.session_id)))
    await here.settled()


async def test_fault_02_killed_after_the_order_and_before_it_knows_that_it_was_taken(
    here: Town, repo: str
) -> None:
    """The row of the order is ours, so that the hub cannot note the spoke's answer."""
    async with here.database() as ours, here.client() as hub, ours.transaction():
        # Nothing may be written to the outbox but new lines: an acknowledgement waits.
        await ours.execute("SELECT FROM spokes WHERE name = 'anvil' FOR SHARE")
        made = await hub.spawn(
            "two", repo=repo, spoke="forge", command="sh", args=["-c", COUNT], until="queued"
        )
        async with here.database() as db:
            await _when(db, "SELECT count(*) FROM commands WHERE session_id = $1", made.session_id)
        await ours.execute("SELECT FROM commands WHERE session_id = $1 FOR UPDATE", made.session_id)
        await until(lambda: made.session_id in {id for id, _ in marks().values()}, "its agent runs")
        await here.hub.kill()
    before = await here.epochs("forge")
    await here.hub.start()
    await here.moved_on(before)
    async with here.client() as hub:
        async for event in hub.events(made.session_id):
            if event.kind == "stdout":
                break
        [session] = (await hub.status(session_id=made.session_id)).sessions
        (Path(str(session.worktree)) / "stop").touch()
        [session] = await ended(hub, made.session_id)
        assert (session.state, session.attempt) == ("completed", 1)
        events = await story(hub, made.session_id)
        assert [event.kind for event in events].count("starting") == 1
        check_count(lines(events))
    await here.settled()


async def test_fault_03_killed_with_a_hundred_sessions_streaming(here: Town, repo: str) -> None:
    async with here.client() as hub:
        swarmed = await hub.swarm(
            [f"t{n}" for n in range(100)], repo=repo, command="sh", args=["-c", SLOW_COUNT]
        )
        made = [one.session for one in swarmed.results if one.session is not None]
        assert len(made) == 100
    ids = {one.session_id for one in made}
    before = _agents(ids)
    assert len(before) == 100
    epochs = await here.epochs("anvil", "forge")
    await here.hub.kill()
    await here.hub.start()
    await here.moved_on(epochs)
    assert _agents(ids) == before, "no agent was touched"
    async with here.client() as hub:
        for one in made:
            (Path(str(one.worktree)) / "stop").touch()
        for session in await ended(hub, *ids):
            assert (session.state, session.attempt) == ("completed", 1)
            check_count(lines(await story(hub, session.session_id)))
    await here.settled()


async def test_fault_04_no_hub_for_long(here: Town, repo: str) -> None:
    """Half of the agents end meanwhile, and all of them fill their spools."""
    async with here.client() as hub:
        swarmed = await hub.swarm(
            [f"u{n}" for n in range(8)], repo=repo, command="sh", args=["-c", COUNT]
        )
        made = [one.session for one in swarmed.results if one.session is not None]
        assert len(made) == 8
    early, late = made[:4], made[4:]
    await here.hub.kill()
    for one in early:
        (Path(str(one.worktree)) / "stop").touch()
    gone = {one.session_id for one in early}
    await until(lambda: not gone & {id for id, _ in marks().values()}, "they have ended")
    epochs = await here.epochs("anvil", "forge")
    await here.hub.start()
    await here.moved_on(epochs)
    async with here.client() as hub:
        for session in await ended(hub, *gone):
            assert (session.state, session.attempt) == ("completed", 1)
        running = (await hub.status(live=True)).sessions
        assert {one.session_id for one in running} == {one.session_id for one in late}
        assert {one.state for one in running} == {"running"}
        for one in late:
            (Path(str(one.worktree)) / "stop").touch()
        for session in await ended(hub, *(one.session_id for one in made)):
            check_count(lines(await story(hub, session.session_id)))
    await here.settled()


def _agents(ids: set[str]) -> set[int]:
    """What they fork comes and goes, and looks like them until it is a `sleep`."""
    found: set[int] = set()
    for pid, (id, _) in marks().items():
        with suppress(OSError):
            if id in ids and os.getsid(pid) == pid:
                found.add(pid)
    return found
