"""Parameters and answers about what agents may do: rules, and questions to who may decide."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from protocol.ops.shapes import Count, Flag, Limit, Line, Milliseconds, Params, Shape, Word
from protocol.permissions import MAX_CHARS, MAX_RULES, rule


def _checked(text: str) -> str:
    return str(rule(text))


RuleText = Annotated[
    str, Field(max_length=MAX_CHARS, pattern=r"^[^\x00]*$"), AfterValidator(_checked)
]


class Permissions(Params):
    """Which tools a session's agent may use, and on what. The first rule that matches decides."""

    rules: Annotated[list[RuleText], Field(max_length=MAX_RULES)] = []
    default: Literal["allow", "ask", "deny"] = "allow"  #: where no rule matches
    answer_within_ms: Annotated[Milliseconds, Field(ge=1)] = 600_000  #: what is asked is answered
    unanswered: Literal["allow", "deny"] = "deny"  #: by then; else this is the answer


class Question(Shape):
    """Something that an agent asked whether it may."""

    session_id: str
    question: int  #: its number in the session
    task: str
    attempt: int
    tool: str
    what: str  #: the command, the URL, or a title
    paths: list[str] = []  #: relative to the worktree where they are in it
    rule: str  #: that made it a question
    asked_at: datetime
    until: Count | None = None  #: ms since 1970; not answered by then, it is `unanswered`
    unanswered: Literal["allow", "deny"] = "deny"
    state: Literal["open", "answered", "settled", "over"]
    decision: Literal["allow", "deny", "withdrawn"] | None = None  #: what came of it
    by: str | None = None  #: who decided, or has answered


class QuestionsParams(Params):
    session_id: Word | None = None
    all: Flag = False  #: those that are settled, too
    limit: Limit = 100


class QuestionList(Shape):
    questions: list[Question]  #: oldest first


class AnswerParams(Params):
    session_id: Word
    question: Count | None = None  #: its number; the one that is open, where there is only one
    decision: Literal["allow", "deny"]
    message: Annotated[Line, Field(max_length=2_000)] = ""  #: for the agent: why not
    wait_ms: Milliseconds = 5_000  #: how long to wait until its agent has it


class Answered(Shape):
    session_id: str
    question: int
    state: Literal["answered", "settled"]  #: answered: on its way to the agent
    decision: Literal["allow", "deny", "withdrawn"]  #: what holds; not the answer, if that was late
    by: str
