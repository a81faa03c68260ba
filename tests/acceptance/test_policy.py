"""What the hub does by itself when an agent fails: tries again, waits and wakes, moves on."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest
from pydantic import JsonValue

import coord
from protocol.ops.sessions import SessionView
from protocol.session import State
from tests.support import turns
from tests.support.world import World, make_repository, story, view_when

AGENT = str(Path(turns.__file__))

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _spawn(here: World, hub: coord.Hub, task: str, prompt: str, **more: JsonValue) -> str:
    given: dict[str, JsonValue] = {
        "task": task, "repo": make_repository(here.folder / f"repo-{task}"), "agent": "claude",
        "command": AGENT, "prompt": prompt, "stdin": "closed", **more,
    }  # fmt: skip
    made = await hub.call("coord.spawn", given)
    assert isinstance(made, dict)
    return str(made["sessionId"])


async def _over(hub: coord.Hub, id: str) -> SessionView:
    return await view_when(hub, id, lambda one: one.state.ended)


async def _pass_the_time(dsn: str) -> None:
    """All limits are over now."""
    db = await asyncpg.connect(dsn, server_settings={"search_path": "coord"})
    await db.execute(
        "UPDATE accounts SET limited_at = now() - interval '2 s', limited_until = now()"
    )
    await db.close()


async def test_a_full_context_is_tried_once_more_and_both_failures_are_shown(here: World) -> None:
    async with here.client() as hub:
        once = await _spawn(here, hub, "once", "full-once")
        twice = await _spawn(here, hub, "twice", "full")
        done = await _over(hub, once)
        assert (done.state, done.attempt) == (State.COMPLETED, 2)
        assert [(one.kind, one.action) for one in done.failures] == [("contextExhausted", "fresh")]
        failed = await _over(hub, twice)
        assert (failed.state, failed.attempt, failed.reason) == (
            State.FAILED, 2, "contextExhausted",
        )  # fmt: skip
        shown = await here.coordctl("status", twice)
        assert "claude: contextExhausted: Prompt is too long; tried again" in shown
        explained = await here.coordctl("explain", twice)
        assert "attempt 1 with claude: contextExhausted" in explained
        assert "in smaller steps" in explained


async def test_a_limit_parks_its_account_and_all_are_woken(here: World) -> None:
    async with here.client() as hub:
        id = await _spawn(here, hub, "limited", "limit-once 6000")
        parked = await view_when(hub, id, lambda one: one.limited_until is not None)
        assert parked.state is State.QUEUED
        waits = await _spawn(here, hub, "waits", "say after all", until="queued")
        other = await _spawn(
            here, hub, "other", "say at once", until="queued", labels={"account": "mine"}
        )
        assert (await _over(hub, other)).state is State.COMPLETED
        listed = await here.coordctl("ps")
        assert listed.count("queued (parked)") == 2
        told = await hub.explain(waits)
        assert "the account claude is limited" in told.fact
        assert told.next.startswith("woken once, within")
        assert told.next_at == parked.limited_until
        await _pass_the_time(here.dsn)
        for one in (await _over(hub, id), await _over(hub, waits)):
            assert one.state is State.COMPLETED
            assert one.limited_until is None
            assert [e.kind for e in await story(hub, one.session_id)].count("woken") == 1


async def test_a_chain_moves_on_where_an_agent_is_missing(here: World) -> None:
    async with here.client() as hub:
        chain: list[JsonValue] = [{"agent": "codex"}, {"agent": "claude", "command": AGENT}]
        id = await _spawn(
            here, hub, "moves", "say I am here", agent="gemini", command=None, fallback=chain
        )
        done = await _over(hub, id)
        assert (done.state, done.agent, done.attempt) == (State.COMPLETED, "claude", 3)
        assert [(one.agent, one.kind) for one in done.failures] == [
            ("gemini", "agentMissing"), ("codex", "agentMissing"),
        ]  # fmt: skip
