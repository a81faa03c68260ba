"""Failures of agents, and the accounts whose limits park sessions."""

from __future__ import annotations

from datetime import datetime, timedelta

from hub.store import queries
from hub.store.postgres import Postgres, again
from hub.store.rows.policy import AccountRow, FailuresRow, HandoffRow, LimitRow


class Policy:
    def __init__(self, postgres: Postgres) -> None:
        self._pool = postgres.pool

    async def failures(self, session_id: str, attempt: int) -> FailuresRow | None:
        """What a decision is made on. None: that attempt is not the current one."""
        return await queries.failures_of_session.one(self._pool, session_id, attempt)

    async def due(self) -> list[AccountRow]:
        """Accounts whose limit is over and that are not open yet."""
        return await queries.accounts_due.all(self._pool)

    async def wake(self, account: str, until: datetime, jitter: timedelta) -> list[str]:
        """Let those go on who waited for that limit, spread over ``jitter``; who they are."""
        woken = await again(lambda: queries.wake_parked.all(self._pool, account, until, jitter))
        await queries.open_account.all(self._pool, account, until)
        return [row.session_id for row in woken]

    async def accounts(self, account: str | None = None) -> list[LimitRow]:
        """Those that have, or had, a limit; or that one."""
        return await queries.list_accounts.all(self._pool, account)

    async def lift(self, account: str, by: str, why: str, jitter: timedelta) -> list[str] | None:
        """End a limit before its time, and let those go on who waited, spread over ``jitter``; who
        they are. None: it had none."""
        given = account, by, why, jitter
        row = await again(lambda: queries.lift_limit.one(self._pool, *given))
        return None if row is None else row.session_ids

    async def handoff(self, session_id: str) -> HandoffRow | None:
        """What a new conversation is told of the one before."""
        return await queries.handoff_of_session.one(self._pool, session_id)
