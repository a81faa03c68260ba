"""What the hub does about a failure of a real agent: tries again, waits and wakes, starts anew."""

from __future__ import annotations

import asyncio
import json
import shutil

import asyncpg
import pytest

from protocol.ops.sessions import SessionView
from protocol.session import State
from tests.agents.stage import COMMIT, Stage, crash, log
from tests.support.world import marked, story

#: Those whose conversations are files that a test can lose.
KEPT = {"claude": ".claude/projects", "codex": ".codex/sessions"}
#: How often its provider says no before it gives up, and once more after it was woken.
REFUSALS = {"claude": 4, "codex": 4, "opencode": 7}


async def _open_all(dsn: str) -> None:
    """All limits are over now."""
    db = await asyncpg.connect(dsn, server_settings={"search_path": "coord"})
    await db.execute(
        "UPDATE accounts SET limited_at = now() - interval '1 s', limited_until = now()"
        " WHERE limited_until > now()"
    )
    await db.close()


def _done(view: SessionView) -> list[tuple[str, str]]:
    return [(one.kind, one.action) for one in view.failures]


@pytest.mark.parametrize("on_stage", sorted(REFUSALS), indirect=True)
async def test_a_limit_parks_it_and_it_goes_on_in_its_conversation(
    on_stage: Stage, hub_database: str
) -> None:
    on = on_stage
    fails = f"model: fail rate_limited {REFUSALS[on.agent]} 1\n"
    id = await on.spawn(fails + COMMIT, stdin="closed")
    async with asyncio.timeout(100):
        while not (view := await on.view(id)).state.ended:
            if view.limited_until is not None:
                assert view.state is State.QUEUED
                explained = await on.hub.explain(id)
                assert explained.next_at is not None or "parked" not in explained.fact
                await _open_all(hub_database)
            await asyncio.sleep(0.1)
    assert view.state is State.COMPLETED, view
    assert set(_done(view)) == {("rateLimited", "wait")}
    assert log(view.worktree or "")[0] == "Add one"
    opened = {str(one["agentSessionId"]) for one in await on.told(id, "opened")}
    assert len(opened) == 1
    woken = [one for one in await story(on.hub, id) if one.kind == "woken"]
    assert len(woken) == len(view.failures)


@pytest.mark.parametrize("on_stage", ["claude", "codex", "gemini"], indirect=True)
async def test_an_exhausted_context_is_tried_once_more_in_a_new_conversation(
    on_stage: Stage,
) -> None:
    """opencode shortens its conversation by itself, and goes on."""
    on = on_stage
    id = await on.spawn("model: fail context_exhausted\n" + COMMIT, stdin="closed")
    view = await on.ended(id)
    assert (view.state, view.reason) == (State.FAILED, "contextExhausted"), view
    assert _done(view) == [("contextExhausted", "fresh"), ("contextExhausted", "stop")]
    opened = {str(one["agentSessionId"]) for one in await on.told(id, "opened")}
    assert len(opened) == 2
    assert any("You take over the task work" in one.script for one in on.model.requests)


@pytest.mark.parametrize("on_stage", sorted(KEPT), indirect=True)
async def test_a_conversation_that_is_lost_is_begun_anew_with_a_handoff_brief(
    on_stage: Stage,
) -> None:
    on = on_stage
    id = await on.spawn(COMMIT)
    await on.idle(id)
    crash(id)
    await on.ended(id)
    shutil.rmtree(on.here.folder / "home" / KEPT[on.agent])
    await on.hub.message(id, "model: say I know the branch.", wait_ms=0)
    await on.hears(id, "I know the branch.")
    view = await on.idle(id)
    assert ("conversationLost", "fresh") in _done(view)
    await on.hub.abort(id)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("on_stage", ["opencode"], indirect=True)
async def test_a_conversation_that_is_shortened_for_ever_is_ended(on_stage: Stage) -> None:
    """Its window is smaller than what it is told: it would go round without end."""
    on = on_stage
    settings = on.here.folder / "config" / "opencode" / "opencode.json"
    said = json.loads(settings.read_text())
    said["provider"]["scripted"]["models"]["scripted"]["limit"] = {"context": 600, "output": 100}
    settings.write_text(json.dumps(said))
    id = await on.spawn("model: say I begin.", stdin="closed")
    view = await on.until(id, lambda one: one.failures != [], "ended", patience=100)
    assert _done(view) == [("contextExhausted", "fresh")]
    assert "shortened its conversation" in view.failures[0].message
    assert await on.told(id, "compacted") != []
    await on.hub.abort(id)
    assert marked(id) == {}
