"""What agents ask, answered from the ops page: the same operation, with the same rights."""

from __future__ import annotations

import httpx
import pytest
from pydantic import JsonValue

from hub.desk import Desk
from hub.web import overview
from protocol import tokens
from protocol.ops.catalogue import Role
from protocol.tokens import Kind
from tests.support.seat import Seat, seat

ASKED: dict[str, JsonValue] = {
    "question": 1, "tool": "run", "what": "git push \u202eorigin", "paths": ["a", "b"],
    "rule": "ask run", "until": 4_000_000_000_000, "unanswered": "deny",
}  # fmt: skip


async def _asks(desk: Desk) -> Seat:
    on = await seat(desk.store)
    await on.agent("asked", **ASKED)
    return on


async def _as(desk: Desk, role: Role) -> dict[str, str]:
    token = tokens.new(Kind.USER)
    await desk.store.access.issue(token, "user", "ann", role, 60, {})
    return {"Authorization": f"Bearer {token}"}


def _body(on: Seat, **more: JsonValue) -> dict[str, JsonValue]:
    return {"sessionId": on.id, "question": 1, "decision": "deny", "waitMs": 0, **more}


async def test_an_operator_answers_once(desk: Desk, web: httpx.AsyncClient) -> None:
    on, operator = await _asks(desk), await _as(desk, Role.OPERATOR)
    first = await web.post("/answer", json=_body(on, message="not there"), headers=operator)
    assert first.status_code == 200, first.text
    assert first.json() == {
        "sessionId": on.id, "question": 1, "state": "answered", "decision": "deny",
        "by": "operator:ann",
    }  # fmt: skip
    second = await web.post("/answer", json=_body(on), headers=operator)
    assert (second.status_code, second.json()["reason"]) == (409, "ALREADY_ANSWERED")
    row = await desk.store.questions.find(on.id, 1)
    assert row is not None
    assert (row.answer, row.answer_by) == ("deny", "operator:ann")


async def test_who_may_only_read_decides_nothing(desk: Desk, web: httpx.AsyncClient) -> None:
    on, viewer = await _asks(desk), await _as(desk, Role.VIEWER)
    answer = await web.post("/answer", json=_body(on), headers=viewer)
    assert (answer.status_code, answer.json()["reason"]) == (403, "FORBIDDEN")
    row = await desk.store.questions.find(on.id, 1)
    assert row is not None
    assert row.answer is None
    page = await web.get("/", headers=viewer)
    assert "asks whether it may" in page.text
    assert "data-answers" not in page.text
    assert "data-answers" in (await web.get("/", headers=await _as(desk, Role.OPERATOR))).text


@pytest.mark.parametrize(
    ("wrong", "status", "reason"),
    [
        ({"decision": "perhaps"}, 422, "BAD_VALUE"),
        ({"question": "1"}, 422, "BAD_VALUE"),
        ({"by": "somebody else"}, 422, "BAD_VALUE"),
        ({"message": "x" * 2_001}, 422, "BAD_VALUE"),
        ({"question": 7}, 404, "NO_QUESTION"),
        ({"sessionId": "ses_nobody"}, 404, "NO_QUESTION"),
    ],
)
async def test_what_is_no_answer_is_refused(
    desk: Desk,
    web: httpx.AsyncClient,
    wrong: dict[str, JsonValue],
    status: int,
    reason: str,
) -> None:
    on, operator = await _asks(desk), await _as(desk, Role.OPERATOR)
    answer = await web.post("/answer", json=_body(on, **wrong), headers=operator)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


async def test_the_overview_has_what_waits_and_nothing_else(desk: Desk) -> None:
    on = await _asks(desk)
    [one] = (await overview.read(desk)).questions
    assert (one.key, one.tool, one.where, one.state) == (f"{on.id}/1", "run", "a  b", "open")
    assert one.what == "git push ⟨U+202E⟩origin"
    assert one.until == ASKED["until"]
    await on.agent("decided", question=1, decision="deny", by="deadline")
    assert (await overview.read(desk)).questions == []


async def test_a_silent_agent_is_marked(desk: Desk) -> None:
    on = await seat(desk.store)
    await on.agent("silent", since=0, doing="model")
    [one] = (await overview.read(desk)).sessions
    assert one.activity == "busy, no signal since 00:00:00 UTC"
    await on.agent("silent", since=0, doing="tool", what="npm test")
    [one] = (await overview.read(desk)).sessions
    assert one.activity == "busy, a tool runs since 00:00:00 UTC"
