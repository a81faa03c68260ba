"""Whoever dies in the middle: no session, message or order is left with nobody to move it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from hub.ops import aborting
from hub.store import Postgres, Store
from hub.store.rows.sessions import ViewRow
from protocol.errors import Unavailable
from protocol.ops.wire import InventoryItem
from protocol.session import State
from tests.support import rows
from tests.support.rows import new_session, record


async def _running(store: Store) -> tuple[str, int, str, int]:
    spoke, at = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    return spoke, at.epoch, id, await rows.run(store, spoke, at.epoch, id)


async def _abort(store: Store, id: str) -> None:
    await store.sessions.abort(id, f"ab_{id}", "test", {"reason": "enough"}, upgrade=False)


async def _ask(store: Store, id: str, text: str) -> None:
    await store.sessions.say(id, f"msg_{text}", text, "queue", None)


async def _kinds(store: Store, spoke: str) -> list[tuple[str, int]]:
    return [(row.kind, row.attempt) for row in await store.outbox.pending(spoke, 0, 100)]


async def _out_of_reach(connections: Postgres, spoke: str) -> None:
    past = datetime(2000, 1, 1, tzinfo=UTC)
    await connections.pool.execute(
        "UPDATE spokes SET lease_expires_at = $2 WHERE spoke_id = $1", spoke, past
    )


async def test_a_hub_that_died_while_a_lease_ended_leaves_no_session_running(
    store: Store, connections: Postgres
) -> None:
    spoke, _, id, _ = await _running(store)
    await _out_of_reach(connections, spoke)
    assert await store.fleet.expire(spoke)  # and here the first hub dies
    assert await store.fleet.lose_contact() == [id]
    assert (await store.sessions.view(id)).state is State.UNKNOWN


async def test_a_spoke_that_is_back_loses_nothing_to_a_late_reaper(
    store: Store, connections: Postgres
) -> None:
    spoke, _, id, _ = await _running(store)
    await _out_of_reach(connections, spoke)
    assert await store.fleet.expire(spoke)
    await store.exchange.greet(rows.hello(spoke), "1", 45)
    assert await store.fleet.lose_contact() == []
    assert (await store.sessions.view(id)).state is State.RUNNING


async def test_one_out_of_reach_is_not_brought_back_by_a_heartbeat(
    store: Store, connections: Postgres
) -> None:
    """Only its hello says what became of its agents."""
    spoke, epoch, _, _ = await _running(store)
    await _out_of_reach(connections, spoke)
    assert await store.fleet.expire(spoke)
    assert await store.fleet.keep([(spoke, epoch)]) == set()
    assert not (await store.exchange.spoke(spoke)).online


async def test_a_hub_that_died_while_it_revoked_a_spoke_leaves_its_sessions_to_the_next(
    store: Store,
) -> None:
    spoke, _, id, attempt = await _running(store)
    await store.exchange.revoke(spoke)
    [left] = await store.exchange.left_on_revoked()
    assert (left.session_id, left.attempt) == (id, attempt)


async def test_an_abort_that_nobody_saw_to_its_end_is_not_confirmed(store: Store) -> None:
    _, _, id, attempt = await _running(store)
    await _abort(store, id)
    assert await store.exchange.give_up(id, attempt, "its spoke was revoked") is State.ABORTED
    assert not _confirmed(await store.sessions.view(id))


async def test_a_reboot_confirms_an_abort(store: Store) -> None:
    _, _, id, attempt = await _running(store)
    await _abort(store, id)
    await store.exchange.give_up(id, attempt, "its machine was rebooted", seen_dead=True)
    assert _confirmed(await store.sessions.view(id))


def _confirmed(row: ViewRow) -> bool:
    return aborting.ended(row, None).confirmed


async def test_a_lost_session_is_stopped_when_its_spoke_comes_back(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    await store.outbox.acked(spoke, 1)
    await store.exchange.give_up(id, attempt, "too long")
    await _abort(store, id)
    assert await _kinds(store, spoke) == [("stop", attempt)]
    exited = record("exited", outcome="aborted", survivors=0)
    await store.exchange.append(spoke, epoch, id, attempt, 3, [exited])
    row = await store.sessions.view(id)
    assert (row.state, row.abort_confirmed) == (State.ABORTED, True)


async def test_the_start_of_an_attempt_that_was_given_up_is_withdrawn(store: Store) -> None:
    spoke, _ = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    attempt = await rows.assign(store, id, spoke)
    await store.outbox.refused(id, attempt, "it was silent")
    await _abort(store, id)
    assert (await store.sessions.view(id)).state is State.ABORTED
    assert await _kinds(store, spoke) == []


async def test_orders_are_numbered_after_what_the_spoke_has_seen(store: Store) -> None:
    """A hub whose database was put back to an earlier state numbers on, not again."""
    spoke, _ = await rows.spoke(store)
    seen = rows.hello(spoke).model_copy(update={"last_seq": 70})
    await store.exchange.greet(seen, "1", 45)
    await rows.assign(store, (await rows.spawn(store)).session_id, spoke)
    assert [row.seq for row in await store.outbox.pending(spoke, 0, 100)] == [71]


async def test_what_was_ordered_with_numbers_that_were_given_before_is_told(store: Store) -> None:
    """The database was put back, and used before its spoke came, which would take a stop for one of
    the orders that it has seen.
    """
    spoke, _, id, attempt = await _running(store)
    await _abort(store, id)
    new = (await rows.spawn(store)).session_id
    await rows.assign(store, new, spoke)
    await _ask(store, new, "hello")
    runs = InventoryItem(session_id=id, attempt=attempt, state="running", last_record=2)
    seen = rows.hello(spoke, held=[runs]).model_copy(update={"last_seq": 70})
    greeted = await store.exchange.greet(seen, "1", 45)
    assert greeted is not None
    await store.outbox.acked(spoke, 70, greeted.epoch)
    told = await store.outbox.pending(spoke, 0, 100)
    assert [(row.seq, row.kind, row.session_id) for row in told] == [
        (71, "stop", id),
        (72, "start", new),
        (73, "message", new),
    ]
    await rows.assign(store, (await rows.spawn(store)).session_id, spoke)
    assert [row.seq for row in await store.outbox.pending(spoke, 73, 100)] == [74]


async def test_what_was_ordered_so_often_that_the_spoke_has_not_seen_more_is_told(
    store: Store,
) -> None:
    """The database was put back by two orders, and has given three before the spoke came."""
    spoke, _, id, attempt = await _running(store)
    await store.outbox.acked(spoke, 1)
    await _abort(store, id)
    new = (await rows.spawn(store)).session_id
    await rows.assign(store, new, spoke)
    await _ask(store, new, "hello")
    runs = InventoryItem(session_id=id, attempt=attempt, state="running", last_record=2)
    seen = rows.hello(spoke, held=[runs]).model_copy(update={"last_seq": 3})
    greeted = await store.exchange.greet(seen, "1", 45)
    assert greeted is not None
    await store.outbox.acked(spoke, 3, greeted.epoch)
    told = await store.outbox.pending(spoke, 0, 100)
    assert [(row.seq, row.kind, row.session_id) for row in told] == [
        (5, "stop", id),
        (6, "start", new),
        (7, "message", new),
    ]


async def test_a_start_that_its_spoke_holds_is_not_told_again(store: Store) -> None:
    """Its answer was lost. A start carries a new token, which its agent would not have."""
    spoke, _ = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    attempt = await rows.assign(store, id, spoke)
    await _ask(store, id, "hello")
    begins = InventoryItem(session_id=id, attempt=attempt, state="starting", last_record=0)
    seen = rows.hello(spoke, held=[begins]).model_copy(update={"last_seq": 1})
    greeted = await store.exchange.greet(seen, "1", 45)
    assert greeted is not None
    await store.outbox.acked(spoke, 1, greeted.epoch)
    told = await store.outbox.pending(spoke, 0, 100)
    assert [(row.seq, row.kind) for row in told] == [(2, "message")]


@pytest.mark.parametrize("outcome", ["completed", "failed"])
async def test_what_was_said_to_an_agent_that_ended_has_failed(store: Store, outcome: str) -> None:
    spoke, epoch, id, attempt = await _running(store)
    await _ask(store, id, outcome)
    exited = record("exited", outcome=outcome)
    await store.exchange.append(spoke, epoch, id, attempt, 3, [exited])
    said = await store.sessions.message(f"msg_{outcome}")
    assert said is not None
    assert said.state == "failed"


async def test_what_was_said_just_before_it_was_blocked_reopens_it(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    await _ask(store, id, "go")
    blocked = record("exited", outcome="blocked", reason="which one?")
    await store.exchange.append(spoke, epoch, id, attempt, 3, [blocked])
    assert (await store.sessions.view(id)).state is State.QUEUED
    assert await rows.assign(store, id, spoke) == attempt + 1
    *_, start, said = await store.outbox.pending(spoke, 0, 100)
    assert (start.kind, said.kind, said.attempt) == ("start", "message", attempt + 1)
    assert isinstance(said.body, dict)
    assert said.body["text"] == "go"


async def test_a_blocked_session_under_abort_stays_ended(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    await _ask(store, id, "go")
    await _abort(store, id)
    blocked = record("exited", outcome="blocked", reason="which one?")
    await store.exchange.append(spoke, epoch, id, attempt, 3, [blocked])
    assert (await store.sessions.view(id)).state is State.BLOCKED


async def test_a_message_said_again_after_the_end_is_the_one_that_was_delivered(
    store: Store,
) -> None:
    spoke, epoch, id, attempt = await _running(store)
    await _ask(store, id, "once")
    records = [record("delivered", messageId="msg_once"), record("exited", outcome="completed")]
    await store.exchange.append(spoke, epoch, id, attempt, 3, records)
    await _ask(store, id, "once")
    said = await store.sessions.message("msg_once")
    assert said is not None
    assert said.state == "delivered"


async def test_many_say_the_same_at_once(store: Store) -> None:
    """More callers than there are connections: none holds one while it waits for another."""
    _, _, id, _ = await _running(store)
    async with asyncio.timeout(20):
        await asyncio.gather(*(_ask(store, id, "all") for _ in range(40)))


async def test_a_spoke_settles_the_messages_of_its_own_session_only(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    _, _, other, _ = await _running(store)
    await _ask(store, other, "theirs")
    lie = record("delivered", messageId="msg_theirs")
    await store.exchange.append(spoke, epoch, id, attempt, 3, [lie])
    said = await store.sessions.message("msg_theirs")
    assert said is not None
    assert said.state == "queued"


async def test_aborts_and_placements_over_many_spokes_do_not_fail_each_other(
    store: Store,
) -> None:
    there = [await rows.spoke(store) for _ in range(4)]
    epochs = {id: greeted.epoch for id, greeted in there}
    spokes = list(epochs)
    tops = [(await rows.spawn(store)).session_id for _ in range(8)]
    below = {
        top: [(await rows.spawn(store, new_session(parent=top))).session_id for _ in range(4)]
        for top in tops
    }
    for ids in below.values():
        places = [(id, spoke, id.encode()) for id, spoke in zip(ids, spokes, strict=True)]
        await store.outbox.assign(places)
    fresh = [[(await rows.spawn(store)).session_id for _ in spokes] for _ in tops]

    async def place(ids: list[str]) -> None:
        choices = zip(ids, reversed(spokes), strict=True)
        await store.outbox.assign([(id, spoke, id.encode()) for id, spoke in choices])

    async def beat() -> None:
        await store.fleet.keep(list(reversed(epochs.items())))

    work = [_abort(store, top) for top in tops] + [place(ids) for ids in fresh]
    said = await asyncio.gather(*work, *(beat() for _ in tops), return_exceptions=True)
    assert [one for one in said if isinstance(one, Unavailable)] == []
