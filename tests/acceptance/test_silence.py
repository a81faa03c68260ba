"""An agent that works and says nothing: shown as what it is, and ended where that was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

import coord
from protocol.ops.catalogue import SPAWN
from protocol.ops.sessions import SessionView, Silence
from protocol.session import State
from tests.support import turns
from tests.support.world import World, marked, story, view_when

SPOKES = {"anvil": ("--quiet-after", "300ms")}
AGENT = str(Path(turns.__file__))
BOUND_MS = 3_000  #: of silence; longer than our agent takes to start on a busy machine

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _spawn(
    hub: coord.Hub, repo: str, prompt: str, bound: int | None = None, stdin: str = "open"
) -> str:
    given = {
        "task": "talk", "repo": repo, "agent": "claude",
        "command": AGENT, "prompt": prompt, "max_silence_ms": bound, "stdin": stdin,
    }  # fmt: skip
    return (await hub.ask(SPAWN, given)).session_id


def _waits_for_its_model(view: SessionView) -> bool:
    silent = _silence(view)
    return silent is not None and silent.doing == "model"


def _silence(view: SessionView) -> Silence | None:
    return None if view.agent_state is None else view.agent_state.silent


async def test_silence_is_shown_until_it_is_heard_whoever_dies_meanwhile(
    here: World, repo: str
) -> None:
    async with here.client() as hub:
        id = await _spawn(hub, repo, "wait")
        silent = _silence(await view_when(hub, id, _waits_for_its_model))
        assert silent is not None
    assert "running (busy, no signal for" in await here.coordctl("ps")
    assert "while it waits for its model" in await here.coordctl("status", id)
    assert "has said nothing since" in await here.coordctl("explain", id)
    for daemon in (here.spokes["anvil"], here.hub):
        await daemon.kill()
        await daemon.start()
    await here.online("anvil")
    async with here.client() as hub:
        assert _silence((await hub.status(id)).sessions[0]) == silent
        await hub.message(id, "say here", mode="interrupt")
        idle = await view_when(hub, id, lambda one: one.activity == "idle")
        assert _silence(idle) is None
        # A slow start, or a slow answer, is a silence of its own on a busy machine.
        agent = [one.body for one in await story(hub, id) if one.kind == "agent"]
        told = [one for one in agent if one.get("event") in ("silent", "heard")]
        [this] = [n for n, one in enumerate(told) if one.get("since") == silent.since]
        assert told[this + 1].get("event") == "heard"
        await hub.abort(id)


@pytest.mark.parametrize("prompt", ["wait", "stick"])
async def test_silence_that_lasts_too_long_is_a_failure(
    here: World, repo: str, prompt: str
) -> None:
    """Whether or not the agent still listens when it is told to end its turn."""
    async with here.client() as hub:
        id = await _spawn(hub, repo, prompt, bound=BOUND_MS)
        view = await view_when(hub, id, lambda one: one.state.ended)
    assert (view.state, view.reason) == (State.FAILED, "sdkError")
    shown = await here.coordctl("status", id)
    assert "sdkError: it said nothing for 3 s, while it waited for its model" in shown
    assert "trying again may help" in shown
    assert marked(id) == {}


async def test_one_that_has_done_its_work_and_does_not_go_is_ended(here: World, repo: str) -> None:
    async with here.client() as hub:
        id = await _spawn(hub, repo, "stay", bound=BOUND_MS, stdin="closed")
        view = await view_when(hub, id, lambda one: one.state.ended)
    assert (view.state, view.reason) == (State.COMPLETED, "it committed nothing")
    assert marked(id) == {}


async def test_the_next_of_its_chain_takes_over_from_one_that_is_silent(
    here: World, repo: str
) -> None:
    async with here.client() as hub:
        given = {
            "task": "talk", "repo": repo, "agent": "claude",
            "command": AGENT, "prompt": "wait", "max_silence_ms": BOUND_MS,
            "fallback": [{"agent": "claude", "command": AGENT}],
        }  # fmt: skip
        id = (await hub.ask(SPAWN, given)).session_id
        view = await view_when(hub, id, lambda one: one.state.ended)
    done = [(one.kind, one.action) for one in view.failures]
    assert done == [("sdkError", "fallback"), ("sdkError", "stop")]
    shown = await here.coordctl("status", id)
    assert "it said nothing for 3 s, while it waited for its model; went on with" in shown


async def test_only_an_agent_that_has_turns_is_bounded(here: World, repo: str) -> None:
    async with here.client() as hub:
        with pytest.raises(coord.CallError, match="only the silence of an agent that has turns"):
            await hub.spawn("x", repo=repo, command="true", max_silence_ms=1)
