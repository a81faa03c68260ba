"""An agent asks whether it may; people and supervising sessions answer, or nobody does."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

import coord
from protocol.errors import CallError
from protocol.ops.questions import Question
from protocol.ops.sessions import SessionView
from protocol.session import State
from tests.support import turns
from tests.support.world import World, marked, story, view_when, waited

AGENT = str(Path(turns.__file__))
LONG = 600_000
ASKS = {"rules": ["allow run(git fetch)", "deny run(rm *)"], "default": "ask"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(slots=True)
class Floor:
    here: World
    hub: coord.Hub
    repo: str

    async def spawn(self, prompt: str, **permissions: object) -> str:
        made = await self.hub.spawn(
            "push it", repo=self.repo, agent="claude", command=AGENT, prompt=prompt,
            permissions={**ASKS, "answer_within_ms": LONG, **permissions},
        )  # fmt: skip
        return made.session_id

    async def until(self, id: str, holds: Callable[[SessionView], bool]) -> SessionView:
        return await view_when(self.hub, id, holds)

    async def asks(self, id: str, number: int = 1) -> Question:
        """The question, once it is asked and shown."""
        await self.until(
            id, lambda one: one.agent_state is not None and one.agent_state.question == number
        )
        return next(one for one in await self.hub.questions(id) if one.question == number)

    async def hears(self, id: str, text: str) -> None:
        async with waited(f"its agent says {text!r}"):
            while text not in [one.get("text") for one in await self.told(id, "text")]:
                await asyncio.sleep(0.05)

    async def told(self, id: str, event: str) -> list[dict[str, object]]:
        events = [one.body for one in await story(self.hub, id) if one.kind == "agent"]
        return [dict(body) for body in events if body.get("event") == event]


@asynccontextmanager
async def as_session(here: World, id: str) -> AsyncGenerator[coord.Hub]:
    """The hub as the agent of a session sees it."""
    pid = next(iter(marked(id)))
    environ = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    (file,) = [one.partition("=")[2] for one in environ if one.startswith("COORD_TOKEN_FILE=")]
    async with coord.connect(here.url, Path(file).read_text()) as hub:
        yield hub


@pytest_asyncio.fixture(loop_scope="module")
async def floor(here: World, repo: str) -> AsyncGenerator[Floor]:
    async with here.client() as hub:
        yield Floor(here, hub, repo)


async def test_a_person_allows_what_an_agent_asks_for(floor: Floor) -> None:
    id = await floor.spawn("ask git push")
    one = await floor.asks(id)
    assert (one.tool, one.what, one.rule, one.state) == ("run", "git push", "default", "open")
    assert (one.unanswered, one.attempt, one.task) == ("deny", 1, "push it")
    view = await floor.until(id, lambda one: one.activity == "waiting")
    assert view.agent_state is not None
    assert view.agent_state.note == "asks run: git push"
    explained = await floor.hub.explain(id)
    assert explained.fact == "its agent asks whether it may run: git push"
    assert explained.next_at is not None
    said = await floor.hub.answer(id, "allow", wait_ms=20_000)
    assert (said.question, said.state, said.decision) == (1, "settled", "allow")
    assert said.by.startswith("admin:")
    await floor.hears(id, "allow: git push")
    await floor.until(id, lambda one: one.activity == "idle")
    assert await floor.hub.questions(id) == []
    (settled,) = await floor.hub.questions(id, all=True)
    assert (settled.state, settled.decision, settled.by) == ("settled", "allow", said.by)
    (decided,) = await floor.told(id, "decided")
    assert (decided["decision"], decided["by"], decided["rule"]) == ("allow", said.by, "default")


async def test_an_answer_is_given_once(floor: Floor) -> None:
    id = await floor.spawn("ask git push|git tag")
    await floor.asks(id)
    async with waited("both questions are asked"):
        while len(await floor.hub.questions(id)) < 2:
            await asyncio.sleep(0.05)
    with pytest.raises(CallError, match="QUESTION_AMBIGUOUS"):
        await floor.hub.answer(id, "allow")
    said = await floor.hub.answer(id, "deny", question=1, message="Not on a Friday", wait_ms=20_000)
    assert said.decision == "deny"
    await floor.hears(id, "deny: git push: Not on a Friday")
    with pytest.raises(CallError, match="ALREADY_ANSWERED") as caught:
        await floor.hub.answer(id, "allow", question=1)
    assert caught.value.details["decision"] == "deny"
    with pytest.raises(CallError, match="NO_QUESTION"):
        await floor.hub.answer(id, "allow", question=9)
    await floor.hub.answer(id, "allow", wait_ms=20_000)  # the one that is left
    await floor.hears(id, "allow: git tag")
    with pytest.raises(CallError, match="NO_QUESTION"):
        await floor.hub.answer(id, "allow")


async def test_rules_decide_without_anybody(floor: Floor) -> None:
    id = await floor.spawn("ask git fetch|rm -r x")
    await floor.hears(id, "allow: git fetch")
    await floor.until(id, lambda one: one.activity == "idle")
    assert await floor.hub.questions(id, all=True) == []
    decided = await floor.told(id, "decided")
    assert [(one["decision"], one["by"], one["rule"]) for one in decided] == [
        ("allow", "rule", "allow run(git fetch)"), ("deny", "rule", "deny run(rm *)"),
    ]  # fmt: skip


@pytest.mark.parametrize("unanswered", ["allow", "deny"])
async def test_at_the_deadline_the_default_holds(floor: Floor, unanswered: str) -> None:
    id = await floor.spawn("ask git push", answer_within_ms=1, unanswered=unanswered)
    await floor.until(id, lambda one: one.activity == "idle")
    (decided,) = await floor.told(id, "decided")
    assert (decided["decision"], decided["by"]) == (unanswered, "deadline")
    with pytest.raises(CallError, match="ALREADY_ANSWERED"):
        await floor.hub.answer(id, "allow", question=1)


async def test_a_question_outlives_the_daemon_and_so_does_its_answer(floor: Floor) -> None:
    id = await floor.spawn("ask git push")
    await floor.asks(id)
    await floor.here.spokes["anvil"].kill()
    said = await floor.hub.answer(id, "allow", wait_ms=0)
    assert said.state == "answered"
    await floor.here.spokes["anvil"].start()
    await floor.hears(id, "allow: git push")
    await floor.until(id, lambda one: one.activity == "idle")
    assert [one["by"] for one in await floor.told(id, "decided")] == [said.by]


async def test_numbers_go_on_with_the_next_attempt_and_old_answers_do_not(floor: Floor) -> None:
    id = await floor.spawn("ask git push")
    await floor.asks(id)
    (pid,) = [pid for pid, line in marked(id).items() if AGENT in line]
    os.kill(pid, signal.SIGKILL)
    await floor.until(id, lambda one: one.state.ended)
    with pytest.raises(CallError, match="NO_QUESTION"):
        await floor.hub.answer(id, "allow")
    await floor.hub.message(id, "ask git tag", wait_ms=0)
    one = await floor.asks(id, 2)
    assert (one.attempt, one.what) == (2, "git tag")
    with pytest.raises(CallError, match="QUESTION_OVER"):
        await floor.hub.answer(id, "allow", question=1)
    assert [one.question for one in await floor.hub.questions(id)] == [2]


async def test_an_interrupt_takes_the_question_back(floor: Floor) -> None:
    id = await floor.spawn("ask git push")
    await floor.asks(id)
    await floor.hub.message(id, "say instead", mode="interrupt")
    await floor.hears(id, "instead")
    (one,) = await floor.hub.questions(id, all=True)
    assert (one.decision, one.by) == ("withdrawn", "agent")


async def test_an_abort_does_not_wait_for_answers(floor: Floor) -> None:
    id = await floor.spawn("ask git push")
    await floor.asks(id)
    receipt = await floor.hub.abort(id)
    assert receipt.complete
    assert marked(id) == {}
    assert await floor.hub.questions() == []


async def test_a_session_answers_for_what_is_below_it_and_not_for_itself(floor: Floor) -> None:
    parent = await floor.hub.spawn("boss", repo=floor.repo, command="sleep", args=["1000"])
    made = await floor.hub.spawn(
        "child", repo=floor.repo, agent="claude", command=AGENT, prompt="ask git push",
        parent_session_id=parent.session_id, permissions={**ASKS, "answer_within_ms": LONG},
    )  # fmt: skip
    child = made.session_id
    await floor.asks(child)
    async with as_session(floor.here, child) as itself:
        assert [one.question for one in await itself.questions(child)] == [1]
        assert await itself.questions() == []
        with pytest.raises(CallError, match="SESSION_NOT_FOUND"):
            await itself.answer(child, "allow")
    async with as_session(floor.here, parent.session_id) as boss:
        assert [one.session_id for one in await boss.questions()] == [child]
        said = await boss.answer(child, "allow", wait_ms=20_000)
    assert (said.decision, said.by) == ("allow", f"session:{parent.session_id}")


async def test_what_a_session_may_not_its_children_may_not(floor: Floor) -> None:
    id = await floor.spawn("wait")
    async with as_session(floor.here, id) as agent:
        with pytest.raises(CallError, match="NOT_WITHIN_PERMISSIONS"):
            await agent.spawn("out", repo=floor.repo, agent="claude", command=AGENT)
        with pytest.raises(CallError, match="NOT_WITHIN_PERMISSIONS"):
            await agent.spawn("out", repo=floor.repo, command="sh")


async def test_who_cannot_be_asked_is_not_held(floor: Floor) -> None:
    with pytest.raises(CallError, match="PERMISSIONS_UNSUPPORTED"):
        await floor.hub.spawn("x", repo=floor.repo, command="true", permissions={"default": "ask"})
    made = await floor.hub.spawn(
        "y", repo=floor.repo, command="true", permissions={"default": "allow"}
    )
    await floor.until(made.session_id, lambda one: one.state is State.COMPLETED)
    with pytest.raises(CallError, match="is no rule"):
        await floor.hub.spawn("z", repo=floor.repo, agent="claude", permissions={"rules": ["x"]})
