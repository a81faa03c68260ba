"""A spoke stays away for longer than it may, and comes back after all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

import coord
from spoke.folder import Folder
from spoke.journal import Key
from spoke.settings import Places
from tests.support.agents import WORK, check_count
from tests.support.inspector import marks
from tests.support.repositories import git
from tests.support.town import SHORT_LEASES, Town
from tests.support.world import ended, lines, story, until, waited

pytestmark = pytest.mark.asyncio(loop_scope="module")

HUB_SETTINGS = {**SHORT_LEASES, "lost_after_seconds": 3}


async def _cut_off(here: Town, hub: coord.Hub, repo: str) -> coord.Spawned:
    """An agent that has committed and written something, and whose session is lost by now."""
    made = await hub.spawn("a", repo=repo, spoke="anvil", command="sh", args=["-c", WORK])
    async for event in hub.events(made.session_id):
        if event.body.get("text") == "line 1":
            break
    here.ways["anvil"].refusing = True
    here.ways["anvil"].cut()
    async with waited("its session is lost"):
        while (await hub.status(made.session_id)).sessions[0].state != "lost":
            await asyncio.sleep(0.05)
    assert _alive(made.session_id), "which is a guess, and not true"
    return made


def _alive(id: str) -> bool:
    return id in {session for session, _ in marks().values()}


async def _saved(hub: coord.Hub, id: str, ref: str) -> Mapping[str, object]:
    """What is told of a state at this ref: on a slow machine others may be saved before."""
    async with waited(f"{id} is saved as {ref}"):
        while True:
            told = [one.body for one in await story(hub, id) if one.kind == "saved"]
            if found := [body for body in told if body["ref"] == ref]:
                return found[-1]
            await asyncio.sleep(0.05)


async def test_fault_10_lost_and_back_while_its_agent_runs(here: Town, repo: str) -> None:
    """Stopped, its work saved to a ref of its own, and the session stays what it was called."""
    async with here.client() as hub:
        made = await _cut_off(here, hub, repo)
        id = made.session_id
        [hold] = [hold for hold in (await here.inspector.look()).holds if hold.key == (id, 1)]
        assert hold.away
        here.ways["anvil"].refusing = False
        await until(lambda: not _alive(id), "it is stopped")
        saved = await _saved(hub, id, f"refs/coord/salvage/{id}/1")
        assert git(Path(repo), "show", f"{saved['commit']}:two") == "draft"
        [session] = (await hub.status(id)).sessions
        assert (session.state, session.reason) == ("lost", "out of reach for too long")
    await here.settled()


async def test_fault_10_lost_and_back_after_its_agent_has_ended(here: Town, repo: str) -> None:
    """An end is believed, late as it is: truth beats a guess."""
    async with here.client() as hub:
        made = await _cut_off(here, hub, repo)
        (Path(str(made.worktree)) / "stop").touch()
        folder = Folder(Places(here.state("anvil")), Key(made.session_id, 1))
        await until(lambda: not folder.is_supervised(), "its end is written down")
        here.ways["anvil"].refusing = False
        async with waited("its end is believed"):
            while (await hub.status(made.session_id)).sessions[0].state == "lost":
                await asyncio.sleep(0.05)
        [session] = await ended(hub, made.session_id)
        assert (session.state, session.exit_code) == ("completed", 0)
        events = await story(hub, made.session_id)
        assert [e.kind for e in events if e.kind in ("lost", "completed")] == ["lost", "completed"]
        check_count([line for line in lines(events) if line.startswith(("line", "last"))])
    await here.settled()
