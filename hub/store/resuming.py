"""Sessions that start again, and what spokes have of sessions against what they should have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from hub.store import queries
from hub.store.postgres import Postgres, again
from hub.store.rows.sessions import HeldSomewhereRow, PastRow
from hub.store.sessions import no_session


class Resuming:
    def __init__(self, postgres: Postgres) -> None:
        self._pool = postgres.pool

    async def past(self, id: str) -> PastRow:
        row = await queries.past_of_session.one(self._pool, id)
        if row is None:
            raise no_session(id)
        return row

    async def resume(self, id: str, spoke_id: str | None, why: str, *, lost: bool) -> str:
        """ok, live, parent_aborted, or branch_taken."""

        async def once() -> str:
            return (await queries.resume_session.only(self._pool, id, spoke_id, why, lost)).verdict

        return await again(once)

    async def held_somewhere(self, ids: Sequence[str], gone_after: float) -> list[HeldSomewhereRow]:
        """These sessions, and all that a spoke has something of."""
        after = timedelta(seconds=gone_after)
        return await queries.held_somewhere.all(self._pool, list(ids), after)

    async def found_worktree(self, id: str, spoke_id: str, worktree: str) -> bool:
        """It is back where its last attempt was. False: that was elsewhere."""
        row = await queries.found_worktree.one(self._pool, id, spoke_id, worktree)
        return row is not None
