"""Spawns of one moment share a commit, and each of them is still judged alone."""

from __future__ import annotations

import asyncio

import pytest

from hub.store import Postgres, Store
from protocol.errors import Conflict, FailedPrecondition, NotFound, ResourceExhausted
from protocol.session import State
from tests.support import rows
from tests.support.rows import new_session


async def test_one_key_makes_one_session(store: Store, connections: Postgres) -> None:
    made = await asyncio.gather(
        *(rows.spawn(store, new_session(key="k", params=b"same")) for _ in range(200))
    )
    assert len({one.session_id for one in made}) == 1
    assert sum(one.created for one in made) == 1
    assert await connections.pool.fetchval("SELECT count(*) FROM sessions") == 1


async def test_one_key_over_two_hubs_makes_one_session(store: Store, connections: Postgres) -> None:
    other = Store(connections)
    made = await asyncio.gather(
        *(
            rows.spawn(one, new_session(key="k", params=b"same"))
            for _ in range(50)
            for one in (store, other)
        )
    )
    assert len({one.session_id for one in made}) == 1


async def test_the_same_key_with_other_parameters_is_a_conflict(store: Store) -> None:
    await rows.spawn(store, new_session(key="k", params=b"these"))
    with pytest.raises(Conflict) as caught:
        await rows.spawn(store, new_session(key="k", params=b"those"))
    assert caught.value.reason == "IDEMPOTENCY_CONFLICT"


async def test_two_sessions_cannot_hold_one_branch(store: Store) -> None:
    first = await rows.spawn(store, new_session(branch="feat/x"))
    with pytest.raises(Conflict) as caught:
        await rows.spawn(store, new_session(branch="feat/x"))
    assert caught.value.reason == "REF_CONFLICT"
    assert caught.value.details["sessionId"] == first.session_id


async def test_a_bad_neighbour_does_not_fail_the_others(store: Store) -> None:
    bad = new_session(parent="ses_nobody")
    good = [new_session() for _ in range(5)]
    said = await asyncio.gather(
        *(rows.spawn(store, one) for one in (bad, *good)), return_exceptions=True
    )
    assert isinstance(said[0], NotFound)
    assert all(not isinstance(one, BaseException) for one in said[1:])


@pytest.mark.parametrize("runs", [False, True], ids=["ended at once", "still ends"])
async def test_nothing_is_spawned_under_an_aborted_parent(store: Store, runs: bool) -> None:
    parent = await rows.spawn(store)
    if runs:
        spoke, at = await rows.spoke(store)
        await rows.run(store, spoke, at.epoch, parent.session_id)
    await store.sessions.abort(parent.session_id, "ab_1", "test", {"reason": "r"}, upgrade=False)
    with pytest.raises(FailedPrecondition) as caught:
        await rows.spawn(store, new_session(parent=parent.session_id))
    assert caught.value.reason == "PARENT_ABORTED"


async def test_spawns_and_an_abort_of_their_parent_leave_no_child_alive(
    store: Store, connections: Postgres
) -> None:
    """In each race a child is either refused, or aborted with its parent (ADR 0001)."""
    other = Store(connections)
    for _ in range(20):
        parent = (await rows.spawn(store)).session_id
        spawns = [
            asyncio.create_task(rows.spawn(one, new_session(parent=parent)))
            for _ in range(10)
            for one in (store, other)
        ]
        await asyncio.sleep(0)
        await store.sessions.abort(parent, "ab_" + parent, "test", {"reason": "r"}, upgrade=False)
        await asyncio.gather(*spawns, return_exceptions=True)
        live = await connections.pool.fetchval(
            "SELECT count(*) FROM sessions WHERE root_id = $1 AND NOT session_ended(state)", parent
        )
        assert live == 0


async def test_a_session_spawns_within_its_grant(store: Store) -> None:
    parent = (await rows.spawn(store, new_session(children=2))).session_id
    for _ in range(2):
        await store.spawner.spawn_within_grant(new_session(parent=parent))
    with pytest.raises(ResourceExhausted) as caught:
        await store.spawner.spawn_within_grant(new_session(parent=parent))
    assert caught.value.reason == "QUOTA_EXCEEDED"


async def test_children_spawned_at_once_do_not_exceed_the_grant(store: Store) -> None:
    parent = (await rows.spawn(store, new_session(children=8))).session_id
    said = await asyncio.gather(
        *(store.spawner.spawn_within_grant(new_session(parent=parent)) for _ in range(20)),
        return_exceptions=True,
    )
    assert sum(not isinstance(one, BaseException) for one in said) == 8


async def test_a_session_at_the_bottom_spawns_nothing(store: Store) -> None:
    parent = (await rows.spawn(store, new_session(depth=0))).session_id
    with pytest.raises(ResourceExhausted):
        await store.spawner.spawn_within_grant(new_session(parent=parent))


async def test_the_first_event_says_who_asked(store: Store) -> None:
    id = (await rows.spawn(store)).session_id
    story = await store.sessions.story(id)
    [event] = await store.sessions.events(story, id, 0, 10)
    assert (event.seq, event.kind) == (1, "queued")
    assert event.body == {"by": "test", "task": "a task"}
    assert story.state is State.QUEUED
