"""coord.questions and coord.answer: what agents ask whether they may, and what they are told."""

from __future__ import annotations

import asyncio
from typing import Final

from pydantic import JsonValue

from hub.bells import outbox
from hub.core.rights import Principal
from hub.desk import Asked, Desk, check_reach
from hub.ops import views
from hub.ops.registry import Operation
from hub.store.rows.questions import QuestionRow
from protocol.errors import Conflict, FailedPrecondition, NotFound
from protocol.ops.catalogue import ANSWER, QUESTIONS, Role
from protocol.ops.questions import (
    Answered,
    AnswerParams,
    Question,
    QuestionList,
    QuestionsParams,
)

_LOOK_AGAIN: Final = 1.0
MAX_UNTIL: Final = 253_402_300_799_999  #: the last millisecond of the year 9999


async def questions(desk: Desk, asked: Asked[QuestionsParams]) -> QuestionList:
    """A session sees those of what is below it, or its own where it names itself."""
    params, principal = asked.params, asked.principal
    below = None
    if params.session_id is not None:
        await check_reach(desk, principal, params.session_id, own=True)
        await desk.store.sessions.view(params.session_id)
    elif principal.role is Role.SESSION:
        below = principal.session_id
    rows = await desk.store.questions.asked(
        session_id=params.session_id, below=below, only_open=not params.all, limit=params.limit
    )
    return QuestionList(questions=[question(row) for row in rows])


async def answer(desk: Desk, asked: Asked[AnswerParams]) -> Answered:
    return await give(desk, asked.principal, asked.params)


async def give(desk: Desk, principal: Principal, params: AnswerParams) -> Answered:
    """An agent does not answer its own questions; whoever is above it may."""
    await check_reach(desk, principal, params.session_id, own=False)
    number = params.question if params.question is not None else await _only(desk, params)
    by = f"{principal.role}:{principal.session_id or principal.name}"
    given = params.session_id, number, params.decision, by, params.message
    said = await desk.store.questions.answer(*given)
    if said.verdict != "ok":
        raise await _refused(desk, params.session_id, number, said.verdict)
    if said.spoke_id is not None:
        desk.bells.ring(outbox(said.spoke_id))
    desk.bells.ring(params.session_id)
    row = await _settled(desk, params, number)
    return Answered.model_validate(
        {
            "session_id": row.session_id,
            "question": row.number,
            "state": "answered" if row.decision is None else "settled",
            "decision": row.decision or params.decision,
            "by": row.decided_by or by,
        }
    )


async def _only(desk: Desk, params: AnswerParams) -> int:
    await desk.store.sessions.view(params.session_id)
    rows = await desk.store.questions.asked(
        session_id=params.session_id, below=None, only_open=True, limit=10
    )
    match [row for row in rows if row.answer is None]:
        case [one]:
            return one.number
        case []:
            raise NotFound(
                "NO_QUESTION",
                f"{params.session_id} asks nothing",
                advice=f"what it was: coordctl questions --all {params.session_id}",
            )
        case several:
            numbers: list[JsonValue] = [row.number for row in several]
            raise FailedPrecondition(
                "QUESTION_AMBIGUOUS",
                f"{params.session_id} asks several things: {', '.join(map(str, numbers))}",
                advice=f"say which one: coordctl answer {params.session_id}/{numbers[0]} allow",
                details={"questions": numbers},
            )


async def _refused(
    desk: Desk, session_id: str, number: int, verdict: str
) -> Conflict | FailedPrecondition | NotFound:
    row = await desk.store.questions.find(session_id, number)
    if verdict == "unknown" or row is None:
        return NotFound(
            "NO_QUESTION",
            f"{session_id} has asked no question {number}",
            advice=f"coordctl questions {session_id}",
        )
    if verdict == "over":
        return FailedPrecondition(
            "QUESTION_OVER",
            f"who asked {number} of {session_id} does not wait for it any more",
            advice=f"coordctl explain {session_id}",
        )
    by, decision = row.decided_by or row.answer_by, row.decision or row.answer
    return Conflict(
        "ALREADY_ANSWERED",
        f"question {number} of {session_id} has its answer: {decision}, by {by}",
        advice="nothing; an answer is given once",
        details={"decision": decision, "by": by},
    )


async def _settled(desk: Desk, params: AnswerParams, number: int) -> QuestionRow:
    """The question once its agent has been told, or the time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + params.wait_ms / 1_000
    with desk.bells.listening(params.session_id) as bell:
        while True:
            row = await desk.store.questions.find(params.session_id, number)
            if row is None:
                raise NotFound("NO_QUESTION", f"no question {number}")
            left = deadline - loop.time()
            if row.decision is not None or left <= 0:
                return row
            await bell.wait(min(left, _LOOK_AGAIN))


def question(row: QuestionRow) -> Question:
    """As it is shown. A spoke said it: what is not as it should be is left out."""
    body = views.object_of(row.body)
    paths, until = body.get("paths"), body.get("until")
    state = "open" if row.answer is None else "answered"
    if row.decision is not None or not row.live:
        state = "settled" if row.decision is not None else "over"
    return Question.model_validate(
        {
            "session_id": row.session_id,
            "question": row.number,
            "task": row.task,
            "attempt": row.attempt,
            "tool": str(body.get("tool", "")),
            "what": str(body.get("what", "")),
            "paths": [str(path) for path in paths] if isinstance(paths, list) else [],
            "rule": str(body.get("rule", "")),
            "asked_at": row.asked_at,
            "until": until if type(until) is int and 0 <= until <= MAX_UNTIL else None,
            "unanswered": "allow" if body.get("unanswered") == "allow" else "deny",
            "state": state,
            "decision": row.decision,
            "by": row.decided_by or row.answer_by,
        }
    )


OPERATIONS = (Operation(QUESTIONS, questions), Operation(ANSWER, answer))
