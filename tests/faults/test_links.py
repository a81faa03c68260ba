"""Links that flap, strand, or carry what comes too late; two hubs on one database."""

from __future__ import annotations

from pathlib import Path

import pytest

import coord
from tests.support.agents import COUNT, check_count
from tests.support.town import Town
from tests.support.world import ended, lines, story, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

HUBS = 2
SPOKES = ("anvil",)


async def _speaks(hub: coord.Hub, id: str) -> None:
    known = (await story(hub, id))[-1].seq
    async for event in hub.events(id, after=known):
        if event.kind == "stdout":
            return


async def test_fault_13_half_open_and_what_the_old_link_still_carries(
    here: Town, repo: str
) -> None:
    """The spoke sees a reset and comes back through the other hub. The first hub hears nothing of
    that; what was on its way to it arrives when the records are long there, and is refused.
    """
    way = here.ways["anvil"]
    async with here.client(0) as first, here.client(1) as second:
        made = await first.spawn("a", repo=repo, command="sh", args=["-c", COUNT])
        await _speaks(first, made.session_id)
        epochs = await here.epochs("anvil")
        way.hold("up")
        await until(lambda: way.held, "something is held back")
        way.target = here.ports[1]
        way.half_open()
        await here.moved_on(epochs)
        await _speaks(second, made.session_id)
        way.free()  # now the old link says what it held back
        await _speaks(second, made.session_id)
        (Path(str(made.worktree)) / "stop").touch()
        [session] = await ended(second, made.session_id)
        assert (session.state, session.attempt) == ("completed", 1)
        check_count(lines(await story(first, made.session_id)))
    await here.settled()


async def test_fault_14_a_link_that_flaps(here: Town, repo: str) -> None:
    way = here.ways["anvil"]
    async with here.client() as hub:
        made = await hub.spawn("a", repo=repo, command="sh", args=["-c", COUNT])
        for _ in range(3):
            epochs = await here.epochs("anvil")
            way.cut()
            await here.moved_on(epochs)
        await _speaks(hub, made.session_id)
        (Path(str(made.worktree)) / "stop").touch()
        await ended(hub, made.session_id)
        events = await story(hub, made.session_id)
        beside = ("stdout", "stderr", "saved")  # what was saved is told when git is done
        kinds = [event.kind for event in events if event.kind not in beside]
        assert kinds == ["queued", "assigned", "starting", "running", "exited", "completed"]
        check_count(lines(events))
    await here.settled()


async def test_fault_28_nobody_is_told_and_everybody_asks(here: Town, repo: str) -> None:
    """A call at one hub is work for a spoke of the other, and no bell rings between them."""
    async with here.client(0) as first, here.client(1) as second:
        for asking in (first, second):
            made = await asking.spawn("a", repo=repo, command="true")
            [session] = await ended(asking, made.session_id)
            assert session.state == "completed"
    await here.settled()
