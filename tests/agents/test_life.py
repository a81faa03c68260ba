"""What every real agent does through coord, from its first word to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.agents import ABILITIES
from protocol.session import State
from tests.agents.stage import COMMIT, FOLLOW_UP, Stage, crash, log
from tests.support.world import marked, until

STALL = "model: say I think.\nmodel: stall"
MINUTE_APART = 150.0  # seconds; Gemini CLI is taken up again in another minute only
UNTIL_GO = "until [ -e go ]; do sleep 0.2; done"
LONG = "model: say I wait.\nmodel: sh tail -f /dev/null"


@pytest.mark.timeout(300)
async def test_it_commits_is_spoken_to_again_and_resumed_after_its_death(on_stage: Stage) -> None:
    on = on_stage
    id = await on.spawn(COMMIT)
    view = await on.idle(id)
    assert log(view.worktree or "")[0] == "Add one"
    assert view.agent_state is not None
    conversation = view.agent_state.session_id
    assert conversation
    assert view.agent_state.usage is not None
    assert view.agent_state.usage.tokens_out > 0

    said = await on.hub.message(id, FOLLOW_UP)
    assert said.mode == "queue"
    assert said.state in ("delivered", "consumed")
    await on.until(id, lambda _: log(view.worktree or "")[0] == "Add two", "committed")
    await on.idle(id)

    # The agent is killed: nobody stopped it, so that it failed; a message takes it up again.
    crash(id)
    failed = await on.ended(id)
    assert failed.state is State.FAILED
    assert failed.agent_state is not None
    assert failed.agent_state.failure is not None
    assert failed.agent_state.failure.kind == "sdkError"
    assert failed.agent_state.failure.advice

    await on.hub.message(id, "model: say I am back.", wait_ms=0)
    await on.hears(id, "I am back.", MINUTE_APART)
    back = await on.idle(id)
    assert back.attempt == 2
    assert back.agent_state is not None
    assert back.agent_state.session_id == conversation

    # The daemon is killed: the agent does not notice, and is spoken to by the next one.
    await on.here.spokes["anvil"].kill()
    await on.here.spokes["anvil"].start()
    await on.here.online("anvil")
    await on.hub.message(id, "model: say I am still here.")
    await on.hears(id, "I am still here.")
    assert (await on.idle(id)).attempt == 2

    receipt = await on.hub.abort(id, reason="enough")
    assert receipt.complete
    assert marked(id) == {}


async def test_a_turn_is_interrupted_and_the_conversation_goes_on(on_stage: Stage) -> None:
    on = on_stage
    id = await on.spawn(LONG)
    await until(lambda: any("tail -f" in line for line in marked(id).values()), "its command runs")
    said = await on.hub.message(id, "model: say I listen.", mode="interrupt", wait_ms=20_000)
    assert said.mode == "interrupt"
    await on.hears(id, "I listen.")
    view = await on.idle(id)
    assert view.state is State.RUNNING
    assert [one["outcome"] for one in await on.told(id, "turnEnded")] == ["aborted", "completed"]
    await until(
        lambda: not any("tail -f" in line for line in marked(id).values()), "its command is gone"
    )


async def test_a_stalled_turn_is_aborted_and_leaves_no_process(on_stage: Stage) -> None:
    on = on_stage
    id = await on.spawn(STALL)
    await until(lambda: bool(on.model.served("I think")), "the model is asked")
    receipt = await on.hub.abort(id, reason="enough")
    assert receipt.complete
    assert marked(id) == {}
    await until(lambda: on.model.served("I think")[-1].ended == "gone", "the model sees it leave")


async def test_it_is_steered_where_it_can_be(on_stage: Stage) -> None:
    on = on_stage
    id = await on.spawn(f"model: say I wait.\nmodel: sh {UNTIL_GO}\nmodel: say I waited.")
    await until(lambda: any("-e go" in line for line in marked(id).values()), "it works")
    said = await on.hub.message(id, "model: say I was steered.", mode="steer", wait_ms=2_000)
    assert said.mode == ("steer" if "steer" in ABILITIES[on.agent].modes else "queue")
    Path((await on.view(id)).worktree or "", "go").touch()
    await on.hears(id, "I was steered.")
    if on.agent != "gemini":  # it has no word for that
        accepted = {"event": "accepted", "messageId": said.message_id}
        assert accepted in await on.told(id, "accepted")
