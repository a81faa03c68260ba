"""Who is held in which sandbox, who can hold nobody, and that it is said."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import coord
from protocol.errors import FailedPrecondition
from protocol.ops.sessions import SessionView
from protocol.ops.spokes import SpokeView
from tests.acceptance.test_permissions import as_session
from tests.support.world import (
    Daemon,
    World,
    ended,
    lines,
    marked,
    story,
    waited,
)

#: A kernel holds a process in so many sandboxes at most: from in there, no more are to be had.
LAYERS = """
import os, sys
from spoke.core.sandboxing import CHANGE, Rule
from spoke.supervisor import landlock
for _ in range(16):
    landlock.enter(landlock.ruleset([Rule("/", CHANGE)]))
os.execv(sys.argv[1], sys.argv[1:])
"""


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def back(here: World, hub: coord.Hub) -> SpokeView:
    """The spoke as the process says it that runs now, not one before."""
    async with waited("the spoke is online as it was started last"):
        while True:
            (found,) = await hub.spokes()
            if found.state == "online" and found.detail["pid"] == here.spokes["anvil"].pid:
                return found
            await asyncio.sleep(0.05)


@asynccontextmanager
async def started_as(here: World, *argv: str) -> AsyncGenerator[Daemon]:
    """The spoke's daemon, started in another way; then the world starts it as it was."""
    spoke = here.spokes["anvil"]
    ordinary = spoke.argv
    await spoke.end()
    spoke.argv = [*argv]
    await spoke.start()
    try:
        yield spoke
    finally:
        await spoke.end()
        spoke.argv = ordinary


async def view_of(hub: coord.Hub, id: str) -> SessionView:
    (found,) = (await hub.status(session_id=id)).sessions
    return found


async def test_children_are_held_like_their_parent(here: World, repo: str) -> None:
    async with here.client() as hub:
        above = await hub.spawn(
            "above", repo=repo, command="sleep", args=["1000"], sandbox="worktree"
        )
        async with as_session(here, above.session_id) as agent:
            for asked, held in (("off", "worktree"), ("read-only", "read-only")):
                made = await agent.call(
                    "coord.spawn",
                    {"task": "below", "repo": repo, "command": "true", "sandbox": asked},
                )
                assert isinstance(made, dict)
                assert (await view_of(hub, str(made["sessionId"]))).sandbox == held
        await hub.abort(above.session_id, reason="enough")
        assert marked(above.session_id) == {}


async def test_a_spoke_may_want_more_than_was_asked_for(
    tmp_path: Path, here: World, repo: str
) -> None:
    (tmp_path / "shared").mkdir()
    argv = here.spokes["anvil"].argv
    more = ("--sandbox-floor", "worktree", "--sandbox-write", str(tmp_path / "shared"))
    async with here.client() as hub, started_as(here, *argv, *more):
        await back(here, hub)
        script = f"touch {tmp_path}/shared/x && echo shared; touch ~/x || echo held"
        made = await hub.spawn("t", repo=repo, command="sh", args=["-c", script])
        (view,) = await ended(hub, made.session_id)
        assert view.sandbox == "worktree"
        assert lines(await story(hub, made.session_id)) == ["shared", "held"]
        told = await here.coordctl("status", made.session_id)
        assert "sandbox    worktree" in told
        assert "sandbox landlock" in (said := await here.coordctl("doctor"))
        assert "sandboxFloor worktree" in said
        assert "off,worktree,read-only" in await here.coordctl("spoke", "list", "-o", "wide")


async def test_a_spoke_that_can_hold_nobody_is_given_nobody_to_hold(here: World, repo: str) -> None:
    argv = [sys.executable, "-P", "-c", LAYERS, *here.spokes["anvil"].argv]
    async with here.client() as hub:
        async with started_as(here, *argv):
            found = await back(here, hub)
            assert found.sandboxes == ["off"]
            assert found.detail["sandbox"] == "none (the kernel refused the rules)"
            await _holds_up_nobody_else(hub, repo)
        async with started_as(here, *argv, "--sandbox-floor", "worktree") as spoke:
            assert spoke.process is not None
            assert await spoke.process.wait() != 0
            assert "SANDBOX_UNAVAILABLE" in spoke.said()


async def _holds_up_nobody_else(hub: coord.Hub, repo: str) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        await hub.spawn("t", repo=repo, command="true", sandbox="worktree", spoke="anvil")
    assert refused.value.reason == "SANDBOX_UNAVAILABLE"
    waits = await hub.spawn("t", repo=repo, command="true", sandbox="read-only", until="queued")
    free = await hub.spawn("t", repo=repo, command="true")  # it is not held up
    assert [one.state for one in await ended(hub, free.session_id)] == ["completed"]
    said = await hub.explain(waits.session_id)
    assert said.session.state == "queued"
    assert "can hold it in the sandbox read-only" in said.fact


async def test_one_in_a_sandbox_is_resumed_in_it_with_what_it_had(here: World, repo: str) -> None:
    script = "cat kept; git stash list; echo x >> kept; git add kept; git stash; exit 3"
    async with here.client() as hub:
        made = await hub.spawn(
            "t", repo=repo, command="sh", args=["-c", script], sandbox="worktree"
        )
        await ended(hub, made.session_id)
        await hub.call("coord.resume", {"sessionId": made.session_id})
        (view,) = await ended(hub, made.session_id)
        assert (view.attempt, view.sandbox) == (2, "worktree")
        stashed = [line for line in lines(await story(hub, made.session_id)) if "stash@" in line]
        assert len(stashed) == 1, "its stash is its own, and still there"


async def test_what_is_open_is_not_for_the_spawn_to_say(here: World, repo: str) -> None:
    home = str(here.folder / "home")
    script = "test $XDG_CACHE_HOME = $HOME && touch ~/y || echo held"
    async with here.client() as hub:
        made = await hub.spawn(
            "t", repo=repo, command="sh", args=["-c", script], sandbox="worktree",
            env={"XDG_CACHE_HOME": home, "HOME": home},
        )  # fmt: skip
        await ended(hub, made.session_id)
        assert lines(await story(hub, made.session_id)) == ["held"]
        assert not Path(home, "y").exists()
