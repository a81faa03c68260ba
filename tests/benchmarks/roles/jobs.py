"""Durable work without a hub in between: our store, pgqueuer, and one INSERT per commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import Queries

from hub.store import Spawner, postgres
from hub.store.spawning import NewSession
from protocol import ids, words
from tests.benchmarks.channel import Channel, run
from tests.benchmarks.roles.client import summary

POOL = 8
PAYLOAD = b"x" * 300
_TABLE = "CREATE TABLE job (id bigserial PRIMARY KEY, payload bytea NOT NULL)"
_INSERT = "INSERT INTO job (payload) VALUES ($1) RETURNING id"


async def main(channel: Channel, given: Mapping[str, Any]) -> None:
    async with AsyncExitStack() as stack:
        doers = {
            "store": await _store(stack, given["ours"]),
            **await _others(stack, given["theirs"]),
        }
        channel.say({})
        async for asked in channel.requests():
            channel.say(await _measure(doers[asked["op"]], asked["callers"], asked["seconds"]))


async def _store(stack: AsyncExitStack, dsn: str) -> Callable[[], Awaitable[object]]:
    await postgres.migrate(dsn)
    spawner = Spawner(await stack.enter_async_context(postgres.connected(dsn)))
    return lambda: spawner.spawn(_session())


async def _others(stack: AsyncExitStack, dsn: str) -> dict[str, Callable[[], Awaitable[object]]]:
    pool = await stack.enter_async_context(asyncpg.create_pool(dsn, min_size=POOL, max_size=POOL))
    queue = Queries(AsyncpgPoolDriver(pool))
    await queue.install()
    await pool.execute(_TABLE)
    return {
        "pgqueuer": lambda: queue.enqueue("work", PAYLOAD),
        "insert": lambda: pool.fetchval(_INSERT, PAYLOAD),
    }


async def _measure(
    do: Callable[[], Awaitable[object]], callers: int, seconds: float
) -> dict[str, Any]:
    took: list[float] = []
    began = time.perf_counter()

    async def caller() -> None:
        while (at := time.perf_counter()) < began + seconds:
            await do()
            took.append(time.perf_counter() - at)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return {**summary(took), "seconds": time.perf_counter() - began}


def _session() -> NewSession:
    id = ids.new_session()
    return NewSession(
        session_id=id,
        parent_id=None,
        on_parent_abort="abort-dependents",
        owner="token:bench",
        idem_key=None,
        params_hash=b"",
        task="task",
        repo="https://example.invalid/team/repository.git",
        base=None,
        branch=words.branch_for("task", id),
        agent="command",
        spec={"prompt": "p" * 200, "command": "true", "args": [], "env": {}, "stdin": "open"},
        labels={},
        wanted_spoke=None,
        requires={},
        priority=0,
        grant_depth=3,
        grant_children=8,
        queue_ms=None,
        run_ms=None,
    )


if __name__ == "__main__":
    run(main)
