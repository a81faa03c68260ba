"""The session above is told of each record that matters: with the record itself, and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from pydantic import JsonValue

from hub.app import RunningHub
from hub.core.telling import Told
from hub.store import Postgres, Store
from protocol.errors import LinkLost, Unavailable
from protocol.handshake import Welcome
from protocol.ops.catalogue import SESSION_APPEND
from protocol.ops.wire import InventoryItem
from spoke.settings import SpokeSettings
from tests.support import rows
from tests.support.hand import PATIENCE, Hand
from tests.support.rows import new_session, record
from tests.support.seat import Seat, beside, seat

ASKED = {"event": "asked", "question": 1, "tool": "run", "what": "git push"}


def _told(record: int) -> Told:
    return Told(record, "child_asked", {"text": "may I?"})


async def _tells(child: Seat, first: int, *numbers: int) -> str | None:
    """Append these and the records between, each of which is told; who heard of it."""
    records = [record("agent", event="heard") for _ in range(first, numbers[-1] + 1)]
    row = await child.store.exchange.append(
        child.spoke, child.epoch, child.id, child.attempt, first, records, [*map(_told, numbers)]
    )
    assert (row.verdict, row.stored) == ("ok", numbers[-1])
    return row.told_to


async def _heard(store: Store, above: str) -> list[JsonValue]:
    story = await store.sessions.story(above)
    events = await store.sessions.events(story, above, 0, 100)
    assert [event.seq for event in events] == list(range(1, story.last_seq + 1)), "gapless"
    return [one.body for one in events if one.kind == "child_asked"]


def _numbers(heard: list[JsonValue]) -> list[JsonValue]:
    return [one["record"] for one in heard if isinstance(one, dict)]


async def test_a_parent_is_told_once_of_each_record(store: Store) -> None:
    above = await seat(store)
    child = await beside(above, new_session(parent=above.id))
    assert await _tells(child, 3, 3) == above.id
    assert await _tells(child, 3, 3) is None, "it is stored"
    assert await _tells(child, 3, 3, 5) == above.id, "the last of these are new"
    assert await _heard(store, above.id) == [
        {"sessionId": child.id, "attempt": 1, "record": record, "text": "may I?"}
        for record in (3, 5)
    ]


async def test_a_parent_may_write_in_the_same_moment(store: Store) -> None:
    above = await seat(store)
    children = [await beside(above, new_session(parent=above.id)) for _ in range(3)]
    await asyncio.gather(
        *(_tells(child, 3, 3) for child in children[:2]),
        above.append(record("stdout", text="a line")),
        _tells(children[2], 3, 3),
    )
    assert _numbers(await _heard(store, above.id)) == [3, 3, 3]


async def test_without_a_parent_nobody_is_told(store: Store) -> None:
    assert await _tells(await seat(store), 3, 3) is None


async def test_a_parent_that_has_ended_hears_nothing_more(store: Store) -> None:
    above = await seat(store)
    child = await beside(above, new_session(parent=above.id, on_parent_abort="continue-running"))
    await above.exits(outcome="completed")
    assert await _tells(child, 3, 3) is None
    assert await _heard(store, above.id) == []


async def test_what_is_not_stored_is_not_told(store: Store) -> None:
    above = await seat(store)
    child = await beside(above, new_session(parent=above.id))
    of_it = (child.id, child.attempt)
    after_a_gap = await store.exchange.append(
        child.spoke, child.epoch, *of_it, 9, [record("agent")], [_told(9)]
    )
    assert (after_a_gap.stored, after_a_gap.told_to) == (2, None)
    await store.exchange.greet(rows.hello(child.spoke), "1", 45)
    late = await store.exchange.append(
        child.spoke, child.epoch, *of_it, 3, [record("agent")], [_told(3)]
    )
    assert (late.verdict, late.told_to) == ("stale_epoch", None)
    assert await _heard(store, above.id) == []


async def test_the_parent_is_held_before_the_child_as_an_abort_does(
    store: Store, connections: Postgres, hub_database: str
) -> None:
    """Whichever of the two ids is the greater."""
    above = await seat(store)
    ids = [f"ses_{first}{above.id[4:]}" for first in ("00", "zz")]
    for id in ids:
        new = replace(new_session(parent=above.id), session_id=id, branch=id)
        child = await beside(above, new)
        async with _held(hub_database, above.id) as db:
            telling = asyncio.create_task(_tells(child, 3, 3))
            await _until_somebody_waits(connections)
            await db.execute("SELECT FROM sessions WHERE session_id = $1 FOR UPDATE NOWAIT", id)
        assert await telling == above.id


@asynccontextmanager
async def _held(dsn: str, id: str) -> AsyncGenerator[asyncpg.Connection[asyncpg.Record]]:
    """A connection in a transaction that holds this session."""
    db = await asyncpg.connect(dsn, server_settings={"search_path": "coord"})
    try:
        async with db.transaction():
            await db.execute("SELECT FROM sessions WHERE session_id = $1 FOR NO KEY UPDATE", id)
            yield db
    finally:
        await db.close()


_WAITING = """FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock'"""


async def _until_somebody_waits(connections: Postgres) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await connections.pool.fetchval(f"SELECT count(*) {_WAITING}"):
            await asyncio.sleep(0.01)


async def test_a_hub_cut_off_in_the_middle_leaves_no_parent_untold(
    running_hub: RunningHub, store: Store, connections: Postgres, hub_database: str, tmp_path: Path
) -> None:
    """Its parent cannot be told yet; then the hub loses its database, and the spoke its link."""
    hand = Hand(SpokeSettings(state=tmp_path / "spoke"), answers=True)
    await hand.join(running_hub)
    async with hand.connected() as welcome:
        spoke = (await store.exchange.spokes())[0].spoke_id
        above = await beside(Seat(store, spoke, welcome.epoch or 0, "", 0))
        child = await beside(above, new_session(parent=above.id))
        async with _held(hub_database, above.id):
            asked = asyncio.create_task(_ask(hand, child, welcome, 3))
            await _until_somebody_waits(connections)
            await connections.pool.execute(f"SELECT pg_terminate_backend(pid) {_WAITING}")
            hand.cut()
        with pytest.raises((LinkLost, Unavailable)):  # whichever comes first
            await asked
    held = [InventoryItem(session_id=one.id, attempt=1, state="running", last_record=3)
            for one in (above, child)]  # fmt: skip
    async with hand.connected(held=held) as welcome:
        for one in welcome.verdicts:
            if one.session_id == child.id and one.stored < 3:  # else there is nothing to be sent
                await _ask(hand, child, welcome, 3)
        assert _numbers(await _heard(store, above.id)) == [3]
        for _ in range(2):
            await _ask(hand, child, welcome, 3)
    assert _numbers(await _heard(store, above.id)) == [3]


async def _ask(hand: Hand, child: Seat, welcome: Welcome, first: int) -> None:
    await hand.ask(
        SESSION_APPEND.name,
        {
            "epoch": welcome.epoch, "sessionId": child.id, "attempt": child.attempt,
            "first": first, "records": [[1_000, "agent", {**ASKED}]],
        },
    )  # fmt: skip
