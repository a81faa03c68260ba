"""What agents used, of a session and all below it."""

from __future__ import annotations

from hub.store import queries
from hub.store.postgres import Postgres
from hub.store.rows.usage import TreeUsageRow


class Usages:
    def __init__(self, postgres: Postgres) -> None:
        self._pool = postgres.pool

    async def of_tree(self, root: str) -> TreeUsageRow:
        return await queries.usage_of_tree.only(self._pool, root)
