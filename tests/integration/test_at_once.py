"""Who comes alone is placed with the commit that stores it, by what was seen before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path

import pytest

import coord
from hub.app import RunningHub
from hub.store import Postgres, Spawner, Store
from hub.store.rows.exchange import OrderRow
from hub.store.spawning import Chosen, NewSession, Stored
from protocol import tokens
from protocol.errors import Conflict
from protocol.session import State
from spoke import identity
from spoke.settings import SpokeSettings
from tests.security.people import desk_of, store_of
from tests.support import rows
from tests.support.hand import PATIENCE, Hand
from tests.support.hubs import admin_of
from tests.support.rows import new_session

_numbers = count(1)


async def _spawn(spawner: Spawner, spoke: str, epoch: int, new: NewSession | None = None) -> Stored:
    digest = tokens.digest(f"token {next(_numbers)}")
    return await spawner.spawn(new or new_session(), Chosen(spoke, epoch, digest))


async def _told(store: Store, id: str) -> list[tuple[int, str, int, object]]:
    story = await store.sessions.story(id)
    events = await store.sessions.events(story, id, 0, 100)
    assert [event.at for event in events] == sorted(event.at for event in events)
    return [(event.seq, event.kind, event.attempt, event.body) for event in events]


async def _live(db: Postgres) -> int:
    question = "SELECT count(*) FROM mappings WHERE released_at IS NULL"
    return int(await db.pool.fetchval(question))


async def test_it_is_stored_and_placed_as_in_two_steps(store: Store, connections: Postgres) -> None:
    spoke, at = await rows.spoke(store)
    two = await rows.spawn(store)
    [placed] = await store.outbox.assign([(two.session_id, spoke, b"digest")])
    one = await _spawn(store.spawner, spoke, at.epoch)
    assert one.created
    assert one.placed is not None
    assert (one.placed.seq, one.placed.alone) == (placed.seq + 1, placed.alone)
    assert await _told(store, one.session_id) == await _told(store, two.session_id)
    _, order = await store.outbox.pending(spoke, 0, 9)
    said = asdict(one.placed)
    assert order == OrderRow(**{name: said[name] for name in asdict(order)})
    first, second = await connections.pool.fetch(
        "SELECT state, attempt, reason, spoke_id, m.agent, m.repo, m.branch = s.branch AS same,"
        " desired, last_seq, accepted_at, released_at, stored, count(credential) OVER () AS known"
        " FROM sessions s JOIN mappings m USING (session_id, attempt)"
    )
    assert tuple(first) == tuple(second)
    assert (first["state"], first["attempt"], first["same"]) == (State.ASSIGNED, 1, True)


_OBSTACLES = {
    "full": "UPDATE spokes SET slots = 0",
    "cordoned": "UPDATE spokes SET cordoned = true",
    "draining": "UPDATE spokes SET draining = true",
    "offline": "UPDATE spokes SET online = false",
    "revoked": "UPDATE spokes SET revoked_at = now()",
    "connected anew, with who knows what labels": "UPDATE spokes SET epoch = epoch + 1",
    "its account is limited": (
        "INSERT INTO accounts (account, limited_until, limited_at, said, strikes)"
        " VALUES ('command', now(), now(), 'stop', 1)"
    ),
}
_AWAY = (
    "UPDATE spokes SET slots = 100, cordoned = false, draining = false, online = true,"
    " revoked_at = NULL; DELETE FROM accounts"
)


@pytest.mark.parametrize("obstacle", _OBSTACLES)
async def test_what_has_changed_meanwhile_leaves_it_in_the_queue(
    store: Store, connections: Postgres, obstacle: str
) -> None:
    spoke, at = await rows.spoke(store)
    await connections.pool.execute(_OBSTACLES[obstacle])
    made = await _spawn(store.spawner, spoke, at.epoch)
    assert (made.created, made.placed) == (True, None)
    assert (await store.sessions.story(made.session_id)).state is State.QUEUED
    assert await _live(connections) == 0
    await connections.pool.execute(_AWAY)
    assert (await store.outbox.scene(9)).waiting != [], "it is placed like everybody else"
    [row] = await store.outbox.assign([(made.session_id, spoke, b"digest")])
    assert (row.seq, row.attempt) == (1, 1), "no number and no attempt is lost"


async def test_a_spoke_that_somebody_holds_is_not_waited_for(
    store: Store, connections: Postgres
) -> None:
    spoke, at = await rows.spoke(store)
    async with connections.transaction() as db, asyncio.timeout(PATIENCE):
        await db.fetch("SELECT FROM spokes WHERE spoke_id = $1 FOR UPDATE", spoke)
        made = await _spawn(store.spawner, spoke, at.epoch)
    assert (made.created, made.placed) == (True, None)


async def test_a_mapping_that_still_holds_the_branch_is_not_waited_for(
    store: Store, connections: Postgres
) -> None:
    """Whoever releases it may want the spoke next."""
    spoke, at = await rows.spoke(store)
    new, old = new_session(branch="b"), await rows.spawn(store, new_session(branch="b"))
    await rows.assign(store, old.session_id, spoke)
    ended = "UPDATE sessions SET state = 'lost', finished_at = now()"
    await connections.pool.execute(ended)
    async with connections.transaction() as db, asyncio.timeout(PATIENCE):
        await db.fetch("UPDATE mappings SET released_at = now()")
        made = await _spawn(store.spawner, spoke, at.epoch, new)
    assert (made.created, made.placed) == (True, None)


async def test_nobody_who_waits_is_overtaken(store: Store, connections: Postgres) -> None:
    spoke, at = await rows.spoke(store)
    first = await rows.spawn(store)
    assert (await _spawn(store.spawner, spoke, at.epoch)).placed is None
    assert await _live(connections) == 0
    await connections.pool.execute(
        "UPDATE sessions SET not_before = now() + interval '1 hour' WHERE session_id = $1",
        first.session_id,
    )
    assert (await _spawn(store.spawner, spoke, at.epoch)).placed is None, "the second waits still"
    await connections.pool.execute("UPDATE sessions SET not_before = now() + interval '1 hour'")
    assert (await _spawn(store.spawner, spoke, at.epoch)).placed is not None, "not to be placed yet"


async def test_a_key_that_is_seen_again_places_nothing(store: Store, connections: Postgres) -> None:
    spoke, at = await rows.spoke(store)
    spawners = [Spawner(connections) for _ in range(8)]
    made = await asyncio.gather(
        *(_spawn(one, spoke, at.epoch, new_session(key="k", params=b"p")) for one in spawners)
    )
    made.append(await _spawn(store.spawner, spoke, at.epoch, new_session(key="k", params=b"p")))
    assert len({one.session_id for one in made}) == 1
    assert [one.created for one in made].count(True) == 1
    assert len([one for one in made if one.placed is not None]) == 1
    assert len(await store.outbox.pending(spoke, 0, 99)) == await _live(connections) == 1
    with pytest.raises(Conflict):
        await _spawn(store.spawner, spoke, at.epoch, new_session(key="k", params=b"other"))


async def test_many_at_once_never_overfill_a_spoke(store: Store, connections: Postgres) -> None:
    """Each alone, as from a hub of its own, while placement gives the same room to who waits."""
    spoke, at = await rows.spoke(store, slots=5)

    async def place() -> None:
        found = await connections.pool.fetch("SELECT session_id FROM sessions WHERE attempt = 0")
        ids: Sequence[str] = [row["session_id"] for row in found]
        if ids:
            await store.outbox.assign([(id, spoke, id.encode()) for id in ids])

    spawning = [_spawn(Spawner(connections), spoke, at.epoch) for _ in range(20)]
    made, _ = await asyncio.gather(
        asyncio.gather(*spawning), asyncio.gather(*(place() for _ in range(5)))
    )
    assert all(one.created for one in made)
    await place()
    assert await _live(connections) == 5
    orders = await store.outbox.pending(spoke, 0, 99)
    assert [order.seq for order in orders] == [1, 2, 3, 4, 5]
    states = await connections.pool.fetch("SELECT state, count(*) FROM sessions GROUP BY 1")
    assert {row[0]: row[1] for row in states} == {State.ASSIGNED: 5, State.QUEUED: 15}


@pytest.fixture
async def hand(running_hub: RunningHub, tmp_path: Path) -> Hand:
    hand = Hand(SpokeSettings(state=tmp_path / "spoke"), answers=True)
    await hand.join(running_hub)
    return hand


async def test_the_hub_places_by_what_it_saw_and_says_so(
    running_hub: RunningHub, client: coord.Hub, hand: Hand
) -> None:
    """Until one is: something may hold the spoke at any moment."""
    desk = desk_of(running_hub)
    async with hand.connected(), asyncio.timeout(PATIENCE):
        while not desk.outlook.rooms:
            await asyncio.sleep(0.01)
        while True:
            made = await client.spawn("t", repo="/r", command="true", until="queued")
            assert (made.state, made.attempt) in (("assigned", 1), ("queued", 0))
            start = await hand.next()
            assert start["sessionId"] == made.session_id
            if made.state == "assigned":
                break
        async with coord.connect(running_hub.url, start["body"]["credential"]) as agent:
            [session] = (await agent.status(made.session_id)).sessions
        assert (session.state, session.spoke) == ("assigned", "hand")


async def test_what_a_hub_placed_and_did_not_tell_is_told_from_the_outbox(
    running_hub: RunningHub, hand: Hand
) -> None:
    """It died behind the commit, and with it the token that it had minted."""
    async with hand.connected() as welcome:
        assert welcome.epoch is not None
        spoke = identity.load(hand.settings.places).spoke_id
        async with asyncio.timeout(PATIENCE):
            while True:  # until nothing of the hub's own holds the spoke at that moment
                made = await _spawn(store_of(running_hub).spawner, spoke, welcome.epoch)
                start = await hand.next()
                if made.placed is not None:
                    break
        assert (start["sessionId"], start["seq"]) == (made.session_id, made.placed.seq)
        async with coord.connect(running_hub.url, start["body"]["credential"]) as agent:
            assert (await agent.status(made.session_id)).sessions
    async with admin_of(running_hub) as client:
        kinds = [event.kind async for event in client.events(made.session_id, follow=False)]
    assert kinds == ["queued", "assigned"]
