"""What goes wrong with a real agent, as a person reads it: its kind, its reason, the next step.

`coordctl status` and `coordctl explain` say it; what is done about it by itself is in both.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from protocol.ops.sessions import SessionView
from protocol.session import State
from tests.agents.stage import COMMIT, Stage, crash
from tests.support.world import PATIENCE, marked

SILENT_MS = 20_000  #: longer than any of them takes to its first word
NO_RETRIES = [
    word
    for of in ("request", "stream")
    for word in ("-c", f"model_providers.scripted.{of}_max_retries=0")
]


async def _shown(on: Stage, id: str) -> str:
    return await on.here.coordctl("status", id)


async def _explained(on: Stage, id: str) -> str:
    return await on.here.coordctl("explain", id)


@pytest.mark.parametrize("on_stage", ["claude", "codex"], indirect=True)
async def test_a_limit_parks_it_until_somebody_opens_the_account(on_stage: Stage) -> None:
    on = on_stage
    made = await on.hub.spawn(
        "work", repo=on.repo, agent=on.agent, stdin="closed",
        prompt="model: fail rate_limited 1 60\n" + COMMIT,
        args=NO_RETRIES if on.agent == "codex" else [],
        env={"CLAUDE_CODE_MAX_RETRIES": "0"} if on.agent == "claude" else {},
    )  # fmt: skip
    id = made.session_id
    await on.until(id, lambda one: one.limited_until is not None, "parked")
    shown, explained = await asyncio.gather(_shown(on, id), _explained(on, id))
    assert "queued (parked)" in shown
    assert f"{on.agent} is limited until" in shown
    assert "rateLimited" in shown
    assert "waits for its account" in shown
    assert "is limited by its provider" in explained
    assert f"coordctl account open {on.agent}" in explained
    listed = await on.here.coordctl("account", "list")
    assert listed.splitlines()[1].split()[:2] == [on.agent, "limited"]
    opened = await on.here.coordctl("account", "open", on.agent)
    assert "is open; 1 session goes on" in opened
    assert (await on.ended(id)).state is State.COMPLETED


@pytest.mark.parametrize("on_stage", ["opencode"], indirect=True)
async def test_a_limit_that_it_waits_for_by_itself_is_shown(on_stage: Stage) -> None:
    on = on_stage
    id = await on.spawn("model: fail rate_limited 1 60\n" + COMMIT)
    view = await on.until(id, lambda one: one.activity == "rate_limited", "limited")
    assert view.agent_state is not None
    assert view.agent_state.until is not None
    shown = await _shown(on, id)
    assert "running (rate_limited)" in shown
    assert "rate limit" in shown.lower()
    await on.hub.abort(id)


@pytest.mark.parametrize("on_stage", ["gemini"], indirect=True)
async def test_a_limit_that_it_keeps_to_itself_is_silence(on_stage: Stage) -> None:
    """It asks again and again, for minutes, and says nothing of it."""
    on = on_stage
    id = await on.spawn("model: fail rate_limited 40 1\n" + COMMIT)
    explained = await _silence_is_shown(on, id)
    assert f"coordctl message --mode interrupt {id}" in explained
    await on.hub.abort(id)


@pytest.mark.parametrize("on_stage", ["claude", "codex", "gemini"], indirect=True)
async def test_a_context_that_is_too_long_is_tried_once_more(on_stage: Stage) -> None:
    on = on_stage
    id = await on.spawn("model: fail context_exhausted\n" + COMMIT, stdin="closed")
    await on.ended(id)
    shown = await _shown(on, id)
    assert "contextExhausted" in shown
    assert "tried again in a new conversation" in shown
    assert "resume the work in a fresh conversation, in smaller steps" in shown
    assert "nothing by itself: resume the work" in await _explained(on, id)


async def test_a_denied_tool_is_named(on_stage: Stage) -> None:
    on = on_stage
    made = await on.hub.spawn(
        "work", repo=on.repo, agent=on.agent, prompt=COMMIT, stdin="closed",
        permissions={"rules": ["deny run(*)"]},
    )  # fmt: skip
    await on.ended(made.session_id)
    shown = await _shown(on, made.session_id)
    assert "toolDenied" in shown
    assert "echo one > one.txt" in shown
    assert "allow what it needed" in shown


async def test_a_wrong_key_stops(on_stage: Stage) -> None:
    on = on_stage
    id = await on.spawn("model: fail auth_failed", stdin="closed")
    view = await on.ended(id)
    shown = await _shown(on, id)
    assert "authFailed" in shown
    assert "set the agent's key in the spoke's environment" in shown
    assert view.agent_state is not None
    assert view.agent_state.failure is not None
    assert view.agent_state.failure.message[:40] in shown


async def test_a_model_that_stalls_is_shown_and_ended(on_stage: Stage) -> None:
    on = on_stage
    made = await on.hub.spawn(
        "work", repo=on.repo, agent=on.agent, prompt="model: say I begin.\nmodel: stall",
        stdin="closed", max_silence_ms=SILENT_MS,
    )  # fmt: skip
    id = made.session_id
    await _silence_is_shown(on, id)
    view = await on.ended(id)
    assert (view.state, view.reason) == (State.FAILED, "sdkError"), view
    shown = await _shown(on, id)
    assert "sdkError: it said nothing for 20 s, while it waited for its model" in shown
    assert "trying again may help" in shown
    async with asyncio.timeout(20):
        while marked(id):
            await asyncio.sleep(0.05)


async def _silence_is_shown(on: Stage, id: str) -> str:
    """What explains it. A slow start is a silence too: it ends, and another one begins."""
    while True:
        view = await on.until(id, lambda one: _is_silent(one) or one.state.ended, "silent")
        listed, shown, explained = await asyncio.gather(
            on.here.coordctl("ps"), _shown(on, id), _explained(on, id)
        )
        if (
            "no signal for" in listed
            and "while it waits for its model" in shown
            and "has said nothing since" in explained
        ):
            return explained
        assert not view.state.ended, (listed, shown, explained)


def _is_silent(view: SessionView) -> bool:
    said = view.agent_state
    return said is not None and said.silent is not None and said.silent.doing == "model"


async def test_a_tool_that_runs_is_no_silence_of_its_model(on_stage: Stage) -> None:
    on = on_stage
    id = await on.spawn(
        "model: say I run it.\nmodel: sh until test -e over; do sleep 0.1; done\n"
        "model: say It ran.",
        stdin="closed",
    )
    view = await on.until(id, _runs_a_tool, "seen to run a tool")
    async with asyncio.timeout(PATIENCE):  # Claude Code has a word to say of it in between
        while "a tool runs for" not in await on.here.coordctl("ps"):
            pass
    Path(view.worktree or "", "over").touch()
    assert (await on.ended(id)).state is State.COMPLETED


def _runs_a_tool(view: SessionView) -> bool:
    said = view.agent_state
    return said is not None and said.silent is not None and said.silent.doing == "tool"


async def test_a_crash_of_its_process_is_shown(on_stage: Stage) -> None:
    on = on_stage
    id = await on.spawn("model: say I begin.\nmodel: stall")
    await on.until(id, lambda one: bool(one.agent_state and one.agent_state.session_id), "open")
    crash(id)
    await on.ended(id)
    shown = await _shown(on, id)
    assert "sdkError: the agent ended: SIGKILL" in shown
    assert "read the end of its transcript" in shown
