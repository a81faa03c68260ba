"""Two things at once, very often, in one database: each time there is one truth."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine, Sequence

from hub.store import Postgres, Store
from protocol.errors import FailedPrecondition
from tests.support import rows
from tests.support.rows import new_session, record

TIMES = int(os.environ.get("CHAOS_RACES", "1000"))
AT_ONCE = 10  # pairs, so that connections are shared and the order is left to chance


async def _running(store: Store, many: int) -> tuple[str, int, list[str]]:
    spoke, at = await rows.spoke(store, slots=many)
    made = await asyncio.gather(*(rows.spawn(store) for _ in range(many)))
    ids = [one.session_id for one in made]
    await store.outbox.assign([(id, spoke, id.encode()) for id in ids])

    async def begin(id: str) -> None:
        begun = [record("starting", worktree=f"/w/{id}"), record("running", pid=1)]
        row = await store.exchange.append(spoke, at.epoch, id, 1, 1, begun)
        assert row.verdict == "ok"

    await _in_turns([begin(id) for id in ids])
    return spoke, at.epoch, ids


async def _abort(store: Store, id: str) -> None:
    await store.sessions.abort(id, f"ab_{id}", "test", {"reason": "enough"}, upgrade=False)


async def _ends(connections: Postgres, ids: list[str]) -> Counter[tuple[str, ...]]:
    """How the stories end: for each session, all the ends that its story has."""
    told = await connections.pool.fetch(
        "SELECT session_id, array_agg(kind ORDER BY seq) AS kinds FROM session_events"
        " WHERE session_id = ANY ($1) AND kind IN ('completed', 'aborted', 'failed', 'lost')"
        " GROUP BY session_id",
        ids,
    )
    assert len(told) == len(ids), "each has an end"
    return Counter(tuple(row["kinds"]) for row in told)


async def test_fault_20_abort_against_finish(store: Store, connections: Postgres) -> None:
    spoke, epoch, ids = await _running(store, TIMES)

    async def finish(id: str) -> None:
        exited = record("exited", outcome="completed", exitCode=0)
        row = await store.exchange.append(spoke, epoch, id, 1, 3, [exited])
        assert row.verdict == "ok"

    async def race(n: int, id: str) -> None:
        pair = [_abort(store, id), finish(id)]
        await asyncio.gather(*(pair if n % 2 else reversed(pair)))

    await _in_turns([race(n, id) for n, id in enumerate(ids)])
    assert await _ends(connections, ids) == {("completed",): TIMES}, "it finished, and that is true"
    marked = await connections.pool.fetchval(
        "SELECT count(*) FROM sessions WHERE desired = 'abort' AND state = 'completed'"
    )
    assert marked == TIMES, "that an abort was asked is kept beside it"


async def test_fault_21_abort_against_spawn(store: Store, connections: Postgres) -> None:
    """Three children at once under a parent that is being aborted: refused, or aborted with it."""
    _, _, parents = await _running(store, TIMES // 4)

    async def child(parent: str) -> bool:
        try:
            await rows.spawn(store, new_session(parent=parent))
        except FailedPrecondition as error:
            refused.add(error.reason)
            return False
        return True

    made, refused = 0, set[str]()

    async def race(n: int, parent: str) -> None:
        nonlocal made
        work = [child(parent), child(parent), _abort(store, parent), child(parent), child(parent)]
        said = await asyncio.gather(*(work if n % 2 else reversed(work)))
        made += sum(one is True for one in said)

    await _in_turns([race(n, parent) for n, parent in enumerate(parents)])
    leaked = await connections.pool.fetchval(
        "SELECT count(*) FROM sessions WHERE parent_id IS NOT NULL AND desired = 'run'"
    )
    assert leaked == 0
    assert refused == {"PARENT_ABORTED"}
    assert 0 < made < TIMES, "some were in time and some were not, or nothing was tried"


async def test_fault_33_the_reaper_against_a_finish(store: Store, connections: Postgres) -> None:
    many = TIMES // 4
    spoke, epoch, ids = await _running(store, many)

    async def finish(id: str) -> None:
        exited = record("exited", outcome="completed", exitCode=0)
        await store.exchange.append(spoke, epoch, id, 1, 3, [exited])

    async def race(n: int, id: str) -> None:
        pair = [store.exchange.give_up(id, 1, "too long"), finish(id)]
        await asyncio.gather(*(pair if n % 2 else reversed(pair)))

    await _in_turns([race(n, id) for n, id in enumerate(ids)])
    ends = await _ends(connections, ids)
    assert set(ends) <= {("completed",), ("lost", "completed")}, "late truth beats a guess"
    states = await connections.pool.fetch("SELECT DISTINCT state::text FROM sessions")
    assert [row["state"] for row in states] == ["completed"]


async def _in_turns(races: Sequence[Coroutine[object, object, None]]) -> None:
    for start in range(0, len(races), AT_ONCE):
        await asyncio.gather(*races[start : start + AT_ONCE])
