"""What every real agent asks before it does it, and what comes of the answer."""

from __future__ import annotations

from pathlib import Path

from tests.agents.stage import COMMIT, Stage, log
from tests.support.world import marked

PUSH = "model: say I push.\nmodel: sh touch pushed.txt\nmodel: say It is over."


async def _asked(on: Stage, prompt: str, **permissions: object) -> str:
    made = await on.hub.spawn(
        "work", repo=on.repo, agent=on.agent, prompt=prompt,
        permissions={"default": "ask", "answer_within_ms": 600_000, **permissions},
    )  # fmt: skip
    return made.session_id


async def test_an_asked_tool_is_allowed(on_stage: Stage) -> None:
    on = on_stage
    id = await _asked(on, COMMIT)
    waiting = await on.until(id, lambda one: one.activity == "waiting", "waiting")
    (question,) = await on.hub.questions(id)
    assert question.tool == "run"
    assert question.what.startswith("echo one > one.txt && git add")
    assert waiting.agent_state is not None
    assert waiting.agent_state.question == question.question
    assert log(waiting.worktree or "")[0] != "Add one"
    said = await on.hub.answer(id, "allow", wait_ms=20_000)
    assert (said.state, said.decision) == ("settled", "allow")
    await on.idle(id)
    assert log(waiting.worktree or "")[0] == "Add one"


async def test_a_denied_tool_is_not_used_and_the_agent_goes_on(on_stage: Stage) -> None:
    on = on_stage
    id = await _asked(on, PUSH)
    await on.until(id, lambda one: one.activity == "waiting", "waiting")
    await on.hub.answer(id, "deny", message="No.\nmodel: say I heard why.", wait_ms=20_000)
    view = await on.idle(id)
    assert not Path(view.worktree or "", "pushed.txt").exists()
    heard = "It is over." if on.agent == "claude" else "I heard why."
    await on.hears(id, heard)
    await on.hub.message(id, "model: say I am still here.")
    await on.hears(id, "I am still here.")
    (decided,) = await on.told(id, "decided")
    assert decided["decision"] == "deny"


async def test_a_rule_decides_without_anybody(on_stage: Stage) -> None:
    on = on_stage
    id = await _asked(on, PUSH, rules=["deny run(touch *)", "allow run(*)"])
    view = await on.idle(id)
    assert not Path(view.worktree or "", "pushed.txt").exists()
    (decided,) = await on.told(id, "decided")
    assert (decided["by"], decided["rule"]) == ("rule", "deny run(touch *)")
    assert await on.hub.questions(id, all=True) == []


async def test_the_default_holds_at_the_deadline(on_stage: Stage) -> None:
    on = on_stage
    id = await _asked(on, PUSH, answer_within_ms=200, unanswered="allow")
    view = await on.idle(id)
    assert Path(view.worktree or "", "pushed.txt").exists()
    (decided,) = await on.told(id, "decided")
    assert (decided["decision"], decided["by"]) == ("allow", "deadline")


async def test_a_turn_that_waits_for_an_answer_is_interrupted(on_stage: Stage) -> None:
    on = on_stage
    id = await _asked(on, PUSH)
    await on.until(id, lambda one: one.activity == "waiting", "waiting")
    await on.hub.message(id, "model: say I listen.", mode="interrupt", wait_ms=20_000)
    await on.hears(id, "I listen.")
    view = await on.idle(id)
    assert not Path(view.worktree or "", "pushed.txt").exists()
    assert await on.hub.questions(id) == []
    await on.hub.abort(id)
    assert marked(id) == {}
