"""A spoke is out of reach for long, or its clock is wrong; two hubs believe to lead."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import coord
from protocol.ops.sessions import SessionView
from protocol.ops.spawning import Spawned
from tests.support.agents import COUNT, check_count
from tests.support.daemon import BLOCKED_S
from tests.support.inspector import marks
from tests.support.town import SHORT_LEASES, Town
from tests.support.world import ended, lines, story, until, waited

pytestmark = pytest.mark.asyncio(loop_scope="module")

HUBS = 2
HUB_SETTINGS = {**SHORT_LEASES, "fence_seconds": 4, "fence_margin_seconds": 3}
NOTICED_S = 3.5  #: after the last sign of life: a lease, and the looks of the hub and its reaper


async def _counter(hub: coord.Hub, repo: str, spoke: str) -> Spawned:
    return await hub.spawn("a", repo=repo, spoke=spoke, command="sh", args=["-c", COUNT])


async def _becomes(hub: coord.Hub, id: str, state: str) -> SessionView:
    async with waited(f"{id} is {state}"):
        while True:
            [session] = (await hub.status(session_id=id)).sessions
            if session.state == state:
                return session
            await asyncio.sleep(0.05)


async def _started_elsewhere(hub: coord.Hub, id: str) -> SessionView:
    async with waited(f"{id} runs once more"):
        while True:
            [session] = (await hub.status(session_id=id)).sessions
            if session.attempt > 1 and session.state == "running":
                return session
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _never_twice(id: str) -> AsyncGenerator[None]:
    """At no moment does more than one attempt of a session live, and one does at some."""
    seen: set[int] = set()

    async def watch() -> None:
        while True:
            seen.add(len({attempt for session, attempt in marks().values() if session == id}))
            await asyncio.sleep(0.05)  # an overlap would last for seconds

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    assert max(seen) == 1


def _stop(made: Spawned) -> None:
    (Path(str(made.worktree)) / "stop").touch()


async def test_fault_09_out_of_reach_while_the_agent_finishes(here: Town, repo: str) -> None:
    way = here.ways["anvil"]
    async with here.client() as hub:
        made = await _counter(hub, repo, "anvil")
        way.refusing = True
        way.cut()
        session = await _becomes(hub, made.session_id, "unknown")
        assert session.reason == "its spoke is out of reach"
        _stop(made)
        await until(
            lambda: made.session_id not in {id for id, _ in marks().values()}, "it has finished"
        )
        assert (await _becomes(hub, made.session_id, "unknown")).attempt == 1, "and nobody knows"
        way.refusing = False
        [session] = await ended(hub, made.session_id)
        assert (session.state, session.attempt, session.exit_code) == ("completed", 1, 0)
        check_count(lines(await story(hub, made.session_id)))
    await here.settled()


@pytest.mark.parametrize("silent", [False, True], ids=["cut", "silent"])
async def test_fault_11_out_of_reach_and_to_be_replaced(
    here: Town, repo: str, silent: bool
) -> None:
    """The first agent is dead before the second begins, which somebody watches all the time.
    ``silent``: nobody is told of the cut, and what was said meanwhile arrives in the end."""
    async with here.client() as hub:
        made = await hub.spawn("a", repo=repo, command="sh", args=["-c", COUNT], on_lost="replace")
        [session] = (await hub.status(session_id=made.session_id)).sessions
        first = str(session.spoke)
        async with _never_twice(made.session_id):
            way, epochs = here.ways[first], await here.epochs(first)
            way.refusing = not silent
            (way.hold if silent else way.cut)()
            session = await _started_elsewhere(hub, made.session_id)
            assert session.spoke != first
            way.refusing = False
            way.free()
            await here.moved_on(epochs)
            (Path(str(session.worktree)) / "stop").touch()
            [session] = await ended(hub, made.session_id)
        assert (session.state, session.attempt) == ("completed", 2)
    await here.settled()


async def test_fault_16_the_event_loop_of_a_spoke_hangs(here: Town, repo: str) -> None:
    """For longer than a lease lasts: a thread of its own says that it lives."""
    assert BLOCKED_S > NOTICED_S
    async with here.client() as hub:
        made = await _counter(hub, repo, "anvil")
        os.kill(here.spokes["anvil"].pid, signal.SIGUSR2)
        known = (await story(hub, made.session_id))[-1].seq
        await asyncio.sleep(BLOCKED_S)  # what is tested is that nothing happens meanwhile
        async for event in hub.events(made.session_id, after=known):
            if event.kind == "stdout":
                break
        _stop(made)
        await ended(hub, made.session_id)
        kinds = [e.kind for e in await story(hub, made.session_id) if e.kind != "stdout"]
        assert "unknown" not in kinds
    await here.settled()


@pytest.mark.parametrize("off", [3_600, -3_600])
async def test_fault_12_the_clock_of_a_spoke_is_an_hour_off(
    here: Town, repo: str, off: int
) -> None:
    name = f"clock{'ahead' if off > 0 else 'behind'}"
    await here.add_spoke(name, clock=off)
    async with here.client() as hub:
        made = await _counter(hub, repo, name)
        many = int(NOTICED_S * 20) + 1  # lines, at one each 50 ms
        async for event in hub.events(made.session_id):
            if event.body.get("text") == f"line {many}":
                break
        _stop(made)
        await ended(hub, made.session_id)
        kinds = [e.kind for e in await story(hub, made.session_id) if e.kind != "stdout"]
        assert "unknown" not in kinds
    await here.spokes.pop(name).end()
    await here.settled()


async def test_fault_32_two_hubs_believe_to_lead(here: Town, repo: str) -> None:
    """The leader is frozen, its lead runs out, the other one acts; then the first wakes up."""
    way = here.ways["forge"]
    async with here.client(0) as first, here.client(1) as second:
        made = await _counter(first, repo, "forge")
        way.target = here.ports[1]
        epochs = await here.epochs("forge")
        way.cut()
        await here.moved_on(epochs)
        os.kill(here.hubs[0].pid, signal.SIGSTOP)  # `Town.clear` wakes it, should this fail
        async with here.database() as db:
            await db.execute("UPDATE leaders SET expires_at = now() - interval '1 second'")
        way.refusing = True
        way.cut()
        await _becomes(second, made.session_id, "unknown")
        os.kill(here.hubs[0].pid, signal.SIGCONT)
        way.refusing = False
        await _becomes(second, made.session_id, "running")
        _stop(made)
        await ended(second, made.session_id)
        beside = ("stdout", "saved")
        kinds = [e.kind for e in await story(second, made.session_id) if e.kind not in beside]
        # A busy machine may lose contact once more. What the first hub may not do is end it.
        unknown = [n for n, kind in enumerate(kinds) if kind == "unknown"]
        assert kinds[unknown[0] + 1] == "running"
        assert {kinds[n + 1] for n in unknown} <= {"running", "exited"}
        assert "lost" not in kinds
        way.target = here.ports[0]
    await here.settled()
