"""Abort marks a whole tree, once, and the orders for the spokes are in the outbox with it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from hub.store import Store
from protocol.errors import FailedPrecondition
from protocol.session import State
from tests.support import rows
from tests.support.rows import new_session, record
from tests.support.world import PATIENCE


async def _abort(store: Store, root: str, *, upgrade: bool = False) -> str:
    top, *_ = await store.sessions.abort(
        root, f"ab_{root}", "test", {"reason": "enough", "now": upgrade}, upgrade=upgrade
    )
    return top.abort_id


async def test_a_tree_over_two_spokes_is_told_to_stop(store: Store) -> None:
    (one, at_one), (two, at_two) = await rows.spoke(store), await rows.spoke(store)
    top = (await rows.spawn(store)).session_id
    middle = (await rows.spawn(store, new_session(parent=top))).session_id
    below = (await rows.spawn(store, new_session(parent=middle))).session_id
    await rows.run(store, one, at_one.epoch, top)
    await rows.run(store, two, at_two.epoch, middle)
    await rows.run(store, one, at_one.epoch, below)
    await _abort(store, top)
    views = {row.session_id: row for row in await store.sessions.views([top, middle, below])}
    assert {row.state for row in views.values()} == {State.ABORTING}
    orders = [
        (spoke, row.session_id)
        for spoke in (one, two)
        for row in await store.outbox.pending(spoke, 0, 100)
        if row.kind == "stop"
    ]
    assert sorted(orders) == sorted([(one, top), (two, middle), (one, below)])


async def test_an_abort_waits_for_no_connection_that_other_work_holds(store: Store) -> None:
    id = (await rows.spawn(store)).session_id
    pool = store.sessions._pool
    async with AsyncExitStack() as held:
        for _ in range(pool.get_max_size()):
            await held.enter_async_context(pool.acquire())
        async with asyncio.timeout(PATIENCE):
            await _abort(store, id)
    (row,) = await store.sessions.views([id])
    assert row.state is State.ABORTED


async def test_asking_twice_gives_the_first_abort_and_orders_nothing_more(store: Store) -> None:
    spoke, at = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    await rows.run(store, spoke, at.epoch, id)
    first = await _abort(store, id)
    before = await store.outbox.pending(spoke, 0, 100)
    under, *_ = await store.sessions.abort(id, "ab_other", "test", {"reason": "r"}, upgrade=False)
    assert under.abort_id == first
    assert await store.outbox.pending(spoke, 0, 100) == before


async def test_now_upgrades_an_abort_under_way(store: Store) -> None:
    spoke, at = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    await rows.run(store, spoke, at.epoch, id)
    await _abort(store, id)
    await _abort(store, id, upgrade=True)
    stops = [row for row in await store.outbox.pending(spoke, 0, 100) if row.kind == "stop"]
    assert [isinstance(row.body, dict) and row.body["now"] for row in stops] == [False, True]


async def test_a_child_that_was_spawned_to_continue_is_spared(store: Store) -> None:
    top = (await rows.spawn(store)).session_id
    spared = (
        await rows.spawn(store, new_session(parent=top, on_parent_abort="continue-running"))
    ).session_id
    below = (await rows.spawn(store, new_session(parent=spared))).session_id
    await _abort(store, top)
    states = {row.session_id: row.state for row in await store.sessions.views([top, spared, below])}
    assert states == {top: State.ABORTED, spared: State.QUEUED, below: State.QUEUED}
    tree = {row.session_id: row.spared for row in await store.sessions.tree(top)}
    assert tree == {top: False, spared: True, below: True}


async def test_live_children_of_an_ended_parent_are_aborted(store: Store) -> None:
    spoke, at = await rows.spoke(store)
    top = (await rows.spawn(store)).session_id
    child = (await rows.spawn(store, new_session(parent=top))).session_id
    attempt = await rows.run(store, spoke, at.epoch, top)
    exited = record("exited", outcome="completed", exitCode=0)
    await store.exchange.append(spoke, at.epoch, top, attempt, 3, [exited])
    await _abort(store, top)
    states = {row.session_id: row.state for row in await store.sessions.views([top, child])}
    assert states == {top: State.COMPLETED, child: State.ABORTED}


async def test_a_message_is_refused_while_it_is_being_aborted_and_after_its_end_by_its_state(
    store: Store,
) -> None:
    spoke, at = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    attempt = await rows.run(store, spoke, at.epoch, id)
    await _abort(store, id)
    assert await _refused(store, id) == (
        "SESSION_ABORTED", f"{id} is being aborted", f"coordctl explain {id}",
    )  # fmt: skip
    exited = record("exited", outcome="completed", exitCode=0)
    await store.exchange.append(spoke, at.epoch, id, attempt, 3, [exited])
    assert await _refused(store, id) == (
        "SESSION_ENDED",
        f"{id} has ended (completed)",
        f"start it again first: coordctl resume {id}",
    )


async def test_who_was_aborted_in_the_queue_has_ended(store: Store) -> None:
    id = (await rows.spawn(store)).session_id
    await _abort(store, id)
    reason, said, _ = await _refused(store, id)
    assert (reason, said) == ("SESSION_ENDED", f"{id} has ended (aborted)")


async def _refused(store: Store, id: str) -> tuple[str, str, str | None]:
    with pytest.raises(FailedPrecondition) as refused:
        await store.sessions.say(id, "msg_late", "more", "queue", None)
    return refused.value.reason, refused.value.message, refused.value.advice
