"""A session hears what is below it: that it asks, is silent, failed; and can wait for that."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

import coord
from protocol.ops.catalogue import SPAWN
from protocol.ops.sessions import Event
from protocol.session import State
from tests.support import turns
from tests.support.world import PATIENCE, World, story, waited

AGENT = str(Path(turns.__file__))
LEAD = """\
read child
coordctl wait --until attention --any --timeout 1m
coordctl answer "$child" allow
coordctl wait --timeout 1m
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(slots=True)
class Family:
    here: World
    hub: coord.Hub
    repo: str

    async def lead(self, script: str) -> str:
        made = await self.hub.spawn(
            "lead", repo=self.repo, command="/bin/sh", args=["-c", script],
        )  # fmt: skip
        return made.session_id

    async def child(self, lead: str, prompt: str, **more: object) -> str:
        given = {
            "task": "child", "repo": self.repo, "agent": "claude", "command": AGENT,
            "prompt": prompt, "parent_session_id": lead, "stdin": "closed", **more,
        }  # fmt: skip
        return (await self.hub.ask(SPAWN, given)).session_id

    async def hears(self, lead: str, kind: str, text: str = "") -> Event:
        """The first such event in its own story, read as it comes."""
        async with waited(f"{lead} hears {kind} {text!r}"):
            async for event in self.hub.events(lead, kinds=[kind]):
                if text in str(event.body["text"]):
                    return event
        raise AssertionError(f"its story ended without {kind}")


@pytest_asyncio.fixture(loop_scope="module")
async def family(here: World, repo: str) -> AsyncGenerator[Family]:
    async with here.client() as hub:
        yield Family(here, hub, repo)


def _kinds(events: Sequence[Event]) -> list[str]:
    return [one.kind for one in events if one.kind.startswith("child_")]


async def test_a_lead_waits_for_a_question_and_answers_it(family: Family) -> None:
    lead = await family.lead(LEAD)
    child = await family.child(lead, "ask git push", permissions={"default": "ask"})
    await family.hub.message(lead, child)
    asked = await family.hears(lead, "child_asked")
    assert asked.body["sessionId"] == child
    assert asked.body["what"] == "git push"
    ended = await family.hub.wait(lead, child, timeout_ms=int(PATIENCE * 1_000))
    assert [one.state for one in ended.sessions] == [State.COMPLETED, State.COMPLETED]
    decided = await family.hears(lead, "child_decided")
    assert (decided.body["decision"], decided.body["by"]) == ("allow", f"session:{lead}")
    shown = await family.here.coordctl("logs", lead)
    assert "asks whether it may run: git push" in shown
    assert "running (waiting)" in shown
    only = await family.here.coordctl("logs", "--kind", "child_decided", lead)
    assert "question 1: allow" in only
    assert "git push" not in only


async def test_silence_and_failures_are_heard_above(family: Family) -> None:
    lead = await family.lead("read end")
    child = await family.child(lead, "wait", max_silence_ms=3_000)  # told of at half of that
    waited = await family.hub.wait(below=lead, until="attention", timeout_ms=60_000)
    assert waited.reached
    [one] = waited.sessions
    assert one.session_id == child
    of_its_model = "gives no signal, while it waits for its model"
    silent = await family.hears(lead, "child_silent", of_its_model)  # its start may be slow too
    assert silent.body["sessionId"] == child
    failed = await family.hears(lead, "child_failed")
    assert (failed.body["kind"], failed.body["action"]) == ("sdkError", "stop")
    over = await family.hub.wait(below=lead)
    assert over.reached
    assert over.sessions == []
    said = await family.here.coordctl("wait", "--below", lead)
    assert "nothing is live below it" in said
    assert _kinds(await story(family.hub, lead))[-1] == "child_failed"
    await family.hub.abort(lead)


async def test_who_waits_says_for_whom(family: Family) -> None:
    with pytest.raises(coord.CallError, match="say which sessions"):
        await family.hub.wait()
    lead = await family.lead("read end")
    assert (await family.hub.wait(lead, until="attention", timeout_ms=0)).reached is False
    await family.hub.abort(lead)
    assert (await family.hub.wait(lead, until="attention")).reached
