"""The disk of a spoke is full: nothing that was promised is lost, and it goes on with room."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import pytest

import coord
from protocol.errors import FailedPrecondition
from tests.support.agents import WAIT
from tests.support.inspector import marks
from tests.support.town import Town
from tests.support.world import ended, lines, story, until, waited

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.namespaces]

SPOKES = ()
#: A small file system over the state of a spoke, for the one process that it becomes.
_SMALL = (
    'cp -a "$0" "$0.first" && mount -t tmpfs -o size=32m tmpfs "$0" && cp -a "$0.first/." "$0"'
    ' && exec "$@"'
)
FILL = 'cat /dev/zero > fill 2>/dev/null; seq -f "line %0999.0f" 5000; echo end'


async def _in_it(here: Town, *argv: str) -> int:
    """Do something where the spoke lives."""
    inside = ["nsenter", f"--target={here.spokes['small'].pid}", "--mount", "--", *argv]
    if os.geteuid():
        inside[1:1] = ["--user", "--preserve-credentials"]
    process = await asyncio.create_subprocess_exec(*inside)
    return await process.wait()


async def test_a_full_disk(here: Town, repo: str) -> None:
    """An agent fills it, says more than fits, and ends. Another one is stopped meanwhile."""
    await here.add_spoke("small")
    daemon = here.spokes["small"]
    await daemon.kill()
    alone = [] if os.geteuid() == 0 else ["--map-root-user"]
    state = str(here.state("small"))
    daemon.argv[:] = ["unshare", "--mount", *alone, "sh", "-c", _SMALL, state, *daemon.argv]
    epochs = await here.epochs("small")
    await daemon.start()
    await here.moved_on(epochs)
    async with here.client() as hub:
        waiting = await hub.spawn("b", repo=repo, command="sh", args=["-c", WAIT])
        filling = await hub.spawn("a", repo=repo, command="sh", args=["-c", FILL])
        await until(lambda: not _alive(filling.session_id), "it has ended")
        receipt = await hub.abort(waiting.session_id, wait_ms=5_000)
        await until(lambda: not _alive(waiting.session_id), "a stop works without a disk")
        assert await _in_it(here, "rm", f"{filling.worktree}/fill") == 0
        [one, other] = await ended(hub, filling.session_id, waiting.session_id)
        states = {one.session_id: one.state, other.session_id: other.state}
        assert states == {filling.session_id: "completed", waiting.session_id: "aborted"}, receipt
        events = await story(hub, filling.session_id)
        [end] = [event.body for event in events if event.kind == "exited"]
        said = lines(events)
        assert isinstance(end["droppedBytes"], int)
        assert end["droppedBytes"] >= 1_000 * (5_000 - len(said)) > 0, "what is missing is counted"
        assert said == [f"line {n:0999d}" for n in range(1, len(said) + 1)], "in order, and cut"
        after = await _spawned(hub, repo)
        await ended(hub, after.session_id)
        assert lines(await story(hub, after.session_id)) == ["well"]
    await here.settled()


async def _spawned(hub: coord.Hub, repo: str) -> coord.Spawned:
    """As soon as there is room: git may still hold the file that was removed."""
    async with waited("there is room again"):
        while True:
            with suppress(FailedPrecondition):
                return await hub.spawn("c", repo=repo, command="echo", args=["well"])
            await asyncio.sleep(0.2)


def _alive(id: str) -> bool:
    return id in {session for session, _ in marks().values()}
