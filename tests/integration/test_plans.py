"""The hot statements look at few rows, however many sessions there ever were."""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from hub.store import Postgres, Store, queries
from tests.support import rows
from tests.support.rows import new_session

PAST = 3_000  #: sessions that have ended, each with a mapping, an order, a message and an event
MOST = 60  #: rows of all tables that one statement may look at, here
Given = tuple[object, ...]
_FILL = f"""
INSERT INTO sessions (session_id, root_id, owner, params_hash, task, repo, branch, agent, spec,
                      state, finished_at, attempt, last_seq, abort_id)
SELECT 'ses_' || n, 'ses_' || n, 'me', '', 't', '/r', 'b' || n, 'command', '{{}}', 'completed',
       now(), 1, 1, NULL FROM generate_series(1, {PAST}) n;
INSERT INTO mappings (session_id, attempt, spoke_id, repo, branch, agent, released_at)
SELECT 'ses_' || n, 1, $1, '/r', 'b' || n, 'command', now() FROM generate_series(1, {PAST}) n;
INSERT INTO commands (spoke_id, seq, session_id, attempt, kind, acked_at)
SELECT $1, -n, 'ses_' || n, 1, 'start', now() FROM generate_series(1, {PAST}) n;
INSERT INTO messages (message_id, session_id, text, mode, state)
SELECT 'msg_' || n, 'ses_' || n, 'x', 'queue', 'delivered' FROM generate_series(1, {PAST}) n;
INSERT INTO session_events (birth_day, session_id, seq, attempt, kind)
SELECT current_date, 'ses_' || n, 1, 1, 'noted' FROM generate_series(1, {PAST}) n
"""
_LOOKED_AT = """
SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::int AS n
  FROM pg_stat_xact_user_tables
 WHERE relname ~ '^(sessions|mappings|commands|messages|session_events.*)$'
"""


async def _hot(store: Store, spoke: str, epoch: int) -> dict[str, Given]:
    """For each hot statement what it is asked for one session, or two."""
    waiting, top = (await rows.spawn(store)).session_id, (await rows.spawn(store)).session_id
    below = (await rows.spawn(store, new_session(parent=top))).session_id
    attempt = await rows.run(store, spoke, epoch, top)
    day = (await store.sessions.story(top)).birth_day
    await rows.run(store, spoke, epoch, below)
    told = [[3, "child_failed", {}]]
    orders = {"reason": "r", "outcome": "aborted"}
    return {
        "placement_scene": (256,),
        "spawn_one": _new(spoke, epoch),
        "assign_sessions": ([waiting], [spoke], [b"digest"]),
        "pending_orders": (spoke, 0, 64),
        "spokes_with_orders": ([spoke],),
        "ack_orders": (spoke, 1, epoch),
        "append_records": (spoke, epoch, top, attempt, 3, '[[1000, "stdout", {"text": "x"}]]'),
        "append_all": (
            [[spoke, epoch, below, 1, 3, [[1_000, "exited", {"outcome": "failed"}]], told]],
        ),
        "events_after": (day, top, 0, 500),
        "story_of": (top,),
        "session_views": ([top, below],),
        "abort_tree": (top, "ab_1", "me", orders, False, None),
        "live_among": ([top, below],),
        "tree_ids": (top,),
        "overdue_sessions": (),
        "silent_starts": (timedelta(seconds=60),),
    }


def _new(spoke: str, epoch: int) -> Given:
    """A session that is stored and, as far as nobody waits, placed."""
    none: Given = (None, None)
    return (
        "ses_new", "abort-dependents", "me", None, b"", "t", "/r", None, "b", "command", "{}", "{}",
        None, "{}", 0, 0, 0, *none, "off", spoke, b"another", epoch,
    )  # fmt: skip


async def _looks(db: asyncpg.Connection[asyncpg.Record], name: str, given: Given) -> int:
    """At how many rows it looks; it leaves nothing behind."""
    query: queries.Query[object] = getattr(queries, name)
    transaction = db.transaction()
    await transaction.start()
    try:
        [before] = await db.fetch(_LOOKED_AT)
        await query.all(db, *given)
        [after] = await db.fetch(_LOOKED_AT)
    finally:
        await transaction.rollback()
    return after["n"] - before["n"]


async def test_the_hot_statements_look_at_few_rows(store: Store, connections: Postgres) -> None:
    """Whether they were planned in a new database or in one with a past."""
    spoke, at = await rows.spoke(store)
    hot = await _hot(store, spoke, at.epoch)
    async with connections.pool.acquire() as early, connections.pool.acquire() as late:
        for name, given in hot.items():
            await _looks(early, name, given)
        for statement in _FILL.split(";"):
            await late.execute(statement.replace("$1", f"'{spoke}'"))
        for db in (early, late):
            for name, given in hot.items():
                assert await _looks(db, name, given) <= MOST, name
