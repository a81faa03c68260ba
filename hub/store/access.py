"""Credentials, and the book of who did what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import JsonValue

from hub.store import queries
from hub.store.postgres import Postgres
from hub.store.rows.access import TokenRow, TokenViewRow, UsedTokenRow
from hub.store.rows.shared import AttemptRow
from protocol import ids, tokens
from protocol.errors import NotFound


class Access:
    def __init__(self, postgres: Postgres) -> None:
        self._pool = postgres.pool

    async def hub_id(self, proposed: str) -> str:
        """Who we are; ``proposed`` becomes it at the first start."""
        return (await queries.hub_id.only(self._pool, proposed)).hub_id

    async def issue(
        self, text: str, kind: str, name: str, role: str, ttl: float, detail: dict[str, JsonValue]
    ) -> tuple[str, datetime]:
        """Store the digest of a new credential; its id and when it expires. ``ttl`` in seconds."""
        id = ids.new_token()
        prefix = text[:8]
        row = await queries.insert_token.only(
            self._pool, id, tokens.digest(text), kind, name, role, prefix, detail,
            timedelta(seconds=ttl),
        )  # fmt: skip
        return id, row.expires_at

    async def find(self, text: str) -> TokenRow | None:
        return await queries.token_by_digest.one(self._pool, tokens.digest(text))

    async def use(self, text: str, kind: str) -> UsedTokenRow | None:
        """Use a one-time credential up. None: it was used, revoked, or its time is over."""
        return await queries.use_token.one(self._pool, tokens.digest(text), kind)

    async def session_of(self, text: str) -> AttemptRow | None:
        """The session that a session token speaks for, while that attempt is current."""
        return await queries.session_by_credential.one(self._pool, tokens.digest(text))

    async def void(self, tokens: Sequence[str], sessions: Sequence[tuple[str, int]]) -> list[str]:
        """Of these tokens and attempts of sessions, those that are no longer good; their ids."""
        if not tokens and not sessions:
            return []
        ids, attempts = [id for id, _ in sessions], [attempt for _, attempt in sessions]
        rows = await queries.void_credentials.all(self._pool, list(tokens), ids, attempts)
        return [row.id for row in rows]

    async def is_current(self, session_id: str, attempt: int) -> bool:
        """Whether an attempt may still speak for its session."""
        return not await self.void([], [(session_id, attempt)])

    async def touch(self, token_id: str) -> None:
        await queries.touch_token.all(self._pool, token_id)

    async def users(self) -> list[TokenViewRow]:
        return await queries.list_tokens.all(self._pool)

    async def revoke(self, token_id: str) -> TokenViewRow:
        row = await queries.revoke_token.one(self._pool, token_id)
        if row is None:
            raise NotFound("TOKEN_NOT_FOUND", f"no token {token_id[:64]!r}")
        return row

    async def audit(
        self, principal: str, op: str, object: str | None, outcome: str, peer: str | None,
        detail: dict[str, JsonValue] | None = None,
    ) -> None:  # fmt: skip
        await queries.insert_audit.all(
            self._pool, principal, op, object, outcome, peer, detail or {}
        )

    async def ensure_partitions(self, days: int) -> int:
        return (await queries.ensure_partitions.only(self._pool, days)).made

    async def live_by_state(self) -> dict[str, int]:
        return {row.state: row.n for row in await queries.count_by_state.all(self._pool)}
