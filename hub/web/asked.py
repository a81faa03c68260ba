"""What agents ask, as the page shows it, and the answers that are given there."""

from __future__ import annotations

from typing import Final

from hub.core import rights
from hub.core.rights import Principal
from hub.desk import Desk
from hub.ops import answer
from hub.web.lines import shown
from protocol.errors import PermissionDenied
from protocol.ops.catalogue import ANSWER
from protocol.ops.questions import Answered, AnswerParams, Question
from protocol.ops.shapes import Shape

QUESTIONS: Final = 50  #: the oldest
WAIT_MS: Final = 5_000  #: until the agent has its answer
WHAT_CHARS: Final = 2_000
NAME_CHARS: Final = 200


class QuestionLine(Shape):
    key: str  #: session/number, as `coordctl answer` takes it
    session_id: str
    question: int
    task: str
    tool: str
    what: str
    where: str  #: paths
    rule: str
    until: int | None  #: ms since 1970; by then it is `unanswered`
    unanswered: str  #: allow or deny
    state: str  #: open, or answered: that is on its way to the agent
    by: str


async def read(desk: Desk) -> list[QuestionLine]:
    """Those that agents wait for, the oldest first."""
    rows = await desk.store.questions.asked(
        session_id=None, below=None, only_open=True, limit=QUESTIONS
    )
    return [_line(answer.question(row)) for row in rows]


def may_answer(principal: Principal) -> bool:
    return principal.role in ANSWER.roles


async def give(desk: Desk, principal: Principal, address: str, params: AnswerParams) -> Answered:
    """As `coord.answer` does it, with the same rights.

    Raises PermissionDenied, NotFound, Conflict, FailedPrecondition.
    """
    try:
        rights.check(principal, ANSWER.name, ANSWER.roles)
    except PermissionDenied as denied:
        await desk.store.access.audit(principal.owner, ANSWER.name, None, denied.reason, address)
        raise
    bounded = params.model_copy(update={"wait_ms": min(params.wait_ms, WAIT_MS)})
    return await answer.give(desk, principal, bounded)


def _line(one: Question) -> QuestionLine:
    return QuestionLine(
        key=f"{one.session_id}/{one.question}",
        session_id=one.session_id,
        question=one.question,
        task=shown(one.task, NAME_CHARS),
        tool=shown(one.tool, NAME_CHARS),
        what=shown(one.what, WHAT_CHARS),
        where=shown("  ".join(one.paths), WHAT_CHARS),
        rule=shown(one.rule, NAME_CHARS),
        until=one.until,
        unanswered=one.unanswered,
        state=one.state,
        by=shown(one.by or "", NAME_CHARS),
    )
