"""What agents asked whether they may, and the answers on their way."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from hub.store import queries
from hub.store.postgres import Postgres, again
from hub.store.rows.questions import AnsweredRow, QuestionRow


class Questions:
    def __init__(self, postgres: Postgres) -> None:
        self._pool = postgres.pool

    async def answer(
        self, session_id: str, number: int, decision: str, by: str, message: str
    ) -> AnsweredRow:
        """Order an answer, once: ok, unknown, over or answered."""
        given = session_id, number, decision, by, message
        return await again(lambda: queries.answer_question.only(self._pool, *given))

    async def find(self, session_id: str, number: int) -> QuestionRow | None:
        return await queries.question_of.one(self._pool, session_id, number)

    async def asked(
        self, *, session_id: str | None, below: str | None, only_open: bool, limit: int
    ) -> list[QuestionRow]:
        """Oldest first. ``below``: of what is below a session, and not of that itself."""
        return await queries.questions_asked.all(self._pool, session_id, below, only_open, limit)

    async def layers(self, session_id: str) -> Sequence[JsonValue]:
        """By what a session is held, from the outermost."""
        row = await queries.permissions_of.one(self._pool, session_id)
        return row.layers if row is not None and isinstance(row.layers, list) else []
