"""Idempotency keys: who claimed one, and what its call was answered with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pydantic import JsonValue

from hub.store import queries
from hub.store.fleet import HUB_SECONDS
from hub.store.postgres import Postgres
from hub.store.rows.access import CallRow

KEPT_DAYS: Final = 7.0


@dataclass(frozen=True, slots=True)
class Keyed:
    """One call under its key."""

    owner: str
    key: str
    op: str
    params_hash: bytes


class Keys:
    def __init__(self, postgres: Postgres) -> None:
        self._pool = postgres.pool

    async def claim(self, call: Keyed, instance: str) -> bool | None:
        """Whether it is new (True), or was begun and has no end (False). None: somebody else's."""
        row = await queries.claim_call.one(
            self._pool, call.owner, call.key, call.op, call.params_hash, instance,
            timedelta(seconds=HUB_SECONDS),
        )  # fmt: skip
        return None if row is None else row.fresh

    async def find(self, call: Keyed) -> CallRow | None:
        return await queries.call_of_key.one(self._pool, call.owner, call.key)

    async def settle(self, call: Keyed, instance: str, answer: JsonValue) -> bool:
        """Whether the claim still was ours."""
        args = (call.owner, call.key, instance, answer)
        return await queries.settle_call.one(self._pool, *args) is not None

    async def free(self, call: Keyed, instance: str) -> None:
        await queries.free_call.one(self._pool, call.owner, call.key, instance)

    async def tidy(self) -> int:
        return (await queries.tidy_calls.only(self._pool, timedelta(days=KEPT_DAYS))).n
