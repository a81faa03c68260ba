"""Agents with turns: spoken to, interrupted, taken up again, and why they failed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

import coord
from protocol.ops.sessions import SessionView
from protocol.session import State
from spoke.supervisor.holding import Conversations
from tests.support import turns
from tests.support.world import World, marked, story, view_when, waited

AGENT = str(Path(turns.__file__))

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(slots=True)
class Floor:
    here: World
    hub: coord.Hub
    repo: str

    async def spawn(self, prompt: str, **more: str) -> str:
        made = await self.hub.spawn(
            "talk", repo=self.repo, agent="claude", command=AGENT, prompt=prompt,
            stdin="closed" if more.get("stdin") == "closed" else "open",
        )  # fmt: skip
        return made.session_id

    async def until(self, id: str, holds: Callable[[SessionView], bool]) -> SessionView:
        return await view_when(self.hub, id, holds)

    async def opened(self, id: str) -> SessionView:
        """Once its conversation is open, and it works."""
        return await self.until(
            id,
            lambda one: (
                one.agent_state is not None
                and one.agent_state.session_id is not None
                and one.activity == "busy"
            ),
        )

    async def hears(self, id: str, text: str) -> None:
        async with waited(f"its agent says {text!r}"):
            while text not in await self.said(id):
                await asyncio.sleep(0.05)

    async def said(self, id: str) -> list[object]:
        events = [one.body for one in await story(self.hub, id) if one.kind == "agent"]
        return [body["text"] for body in events if body.get("event") == "text"]


@pytest_asyncio.fixture(loop_scope="module")
async def floor(here: World, repo: str) -> AsyncGenerator[Floor]:
    async with here.client() as hub:
        yield Floor(here, hub, repo)


async def test_it_is_spoken_to_in_each_mode(floor: Floor) -> None:
    id = await floor.spawn("wait")
    busy = await floor.opened(id)
    assert busy.activity == "busy"
    queued = await floor.hub.message(id, "say later", wait_ms=0)
    assert (queued.mode, queued.state) == ("queue", "queued")
    steered = await floor.hub.message(id, "say steered", mode="steer")
    assert steered.mode == "steer"
    assert steered.state in ("delivered", "consumed")
    await floor.hears(id, "later")
    await floor.hub.message(id, "wait")
    interrupting = await floor.hub.message(id, "say instead", mode="interrupt")
    assert interrupting.mode == "interrupt"
    await floor.hears(id, "instead")
    idle = await floor.until(id, lambda one: one.activity == "idle")
    assert idle.agent_state is not None
    assert idle.agent_state.usage is not None
    assert idle.agent_state.usage.tokens_in == 21
    assert idle.agent_state.usage.context_percent == 10
    receipt = await floor.hub.abort(id)
    assert receipt.complete
    assert marked(id) == {}


async def test_what_waits_is_said_once_whoever_dies_meanwhile(floor: Floor) -> None:
    id = await floor.spawn("wait")
    await floor.opened(id)
    await floor.hub.message(id, "say one", message_id="msg_one", wait_ms=0)
    await floor.here.spokes["anvil"].kill()
    await floor.here.spokes["anvil"].start()
    await floor.here.online("anvil")
    await floor.hub.message(id, "say two", mode="interrupt")
    again = await floor.hub.message(id, "say one", message_id="msg_one")
    assert again.state in ("delivered", "consumed")
    await floor.hears(id, "one")
    assert await floor.said(id) == ["two", "one"]


async def test_a_killed_agent_is_taken_up_again_by_a_message(floor: Floor) -> None:
    id = await floor.spawn("say I am ID")
    before = await floor.until(id, lambda one: one.activity == "idle")
    (pid,) = [pid for pid, line in marked(id).items() if AGENT in line]
    os.kill(pid, signal.SIGKILL)
    failed = await floor.until(id, lambda one: one.state.ended)
    assert (failed.state, failed.reason) == (State.FAILED, "sdkError")
    assert failed.agent_state is not None
    assert failed.agent_state.failure is not None
    assert "SIGKILL" in failed.agent_state.failure.message

    await floor.hub.message(id, "say still ID", wait_ms=0)
    after = await floor.until(id, lambda one: one.attempt == 2 and one.activity == "idle")
    assert before.agent_state is not None
    assert after.agent_state is not None
    conversation = before.agent_state.session_id
    assert after.agent_state.session_id == conversation
    assert await floor.said(id) == [f"I am {conversation}", f"still {conversation}"]


async def test_without_stdin_it_ends_with_its_turn_and_is_judged_by_its_work(floor: Floor) -> None:
    id = await floor.spawn("say done", stdin="closed")
    view = await floor.until(id, lambda one: one.state.ended)
    assert (view.state, view.reason) == (State.COMPLETED, "it committed nothing")
    assert view.agent_state is not None
    assert view.agent_state.committed is False


@pytest.mark.parametrize(("prompt", "kind"), [("fail", "authFailed"), ("die", "sdkError")])
async def test_why_it_failed_is_shown_with_what_to_do(floor: Floor, prompt: str, kind: str) -> None:
    id = await floor.spawn(prompt)
    view = await floor.until(id, lambda one: one.state.ended)
    assert (view.state, view.reason) == (State.FAILED, kind)
    assert view.agent_state is not None
    assert view.agent_state.failure is not None
    assert view.agent_state.failure.kind == kind
    assert view.agent_state.failure.advice


async def test_what_it_used_is_shown_with_what_is_below_it(floor: Floor) -> None:
    top = await floor.spawn("use 80")
    child = await floor.hub.spawn(
        "below", repo=floor.repo, agent="claude", command=AGENT, prompt="use 5",
        parent_session_id=top,
    )  # fmt: skip
    await floor.until(top, lambda one: one.activity == "idle")
    await floor.until(child.session_id, lambda one: one.activity == "idle")
    usage = (await floor.hub.status(top)).usage
    assert usage is not None
    assert (usage.sessions, usage.tokens_in, usage.cost_usd) == (2, 85, None)
    shown = await floor.here.coordctl("status", top)
    assert "80 tokens in, 0 out, 80 % of its context, toy" in shown
    assert "85 tokens in, 0 out" in shown
    await floor.hub.message(top, "use 99")
    await floor.until(top, lambda one: one.activity == "idle")
    told = [one.body for one in await story(floor.hub, top) if one.kind == "agent"]
    warned = [one["threshold"] for one in told if one.get("event") == "contextWarning"]
    assert warned == [75, 90]


async def test_a_conversation_that_another_process_is_in_is_busy(floor: Floor) -> None:
    id = await floor.spawn("say hello")
    view = await floor.until(id, lambda one: one.activity == "idle")
    assert view.agent_state is not None
    await _kill_agent(id)
    await floor.until(id, lambda one: one.state.ended)
    other = Conversations(str(floor.here.folder / "spoke-anvil" / "conversations"))
    assert other.take("claude", str(view.agent_state.session_id))
    await floor.hub.message(id, "say more", wait_ms=0)
    busy = await floor.until(id, lambda one: one.attempt == 2 and one.state.ended)
    assert busy.agent_state is not None
    assert busy.agent_state.failure is not None
    assert busy.agent_state.failure.kind == "agentBusy"
    other.leave()
    await floor.hub.resume(id)
    await floor.hub.message(id, "say I am ID", wait_ms=0)
    await floor.hears(id, f"I am {view.agent_state.session_id}")


async def _kill_agent(id: str) -> None:
    (pid,) = [pid for pid, line in marked(id).items() if AGENT in line]
    os.kill(pid, signal.SIGKILL)


async def test_an_agent_that_is_not_there_is_missing(floor: Floor) -> None:
    with pytest.raises(coord.CallError, match="AGENT_NOT_FOUND"):
        await floor.hub.spawn("none", repo=floor.repo, agent="codex", prompt="go")
