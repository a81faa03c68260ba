"""Several hubs on one database: leases, the lead, and what fences the one from the other."""

from __future__ import annotations

from hub.store import Postgres, Store
from hub.store.wire import PAYLOAD_BYTES, payloads
from protocol import ids
from protocol.session import Fact, State
from tests.support import rows


async def _hub(store: Store) -> str:
    instance = ids.new_instance()
    await store.fleet.beat(instance, "ws://127.0.0.1:1", "1")
    return instance


async def _greet(store: Store, spoke: str, hub: str | None = None, lease: float = 45) -> int:
    greeted = await store.exchange.greet(rows.hello(spoke), "1", lease, hub)
    assert greeted is not None
    return greeted.epoch


async def _spoke(store: Store, hub: str) -> tuple[str, int]:
    spoke, _ = await rows.spoke(store)
    return spoke, await _greet(store, spoke, hub)


async def _expired(store: Store) -> list[str]:
    return [row.spoke_id for row in await store.fleet.leases() if row.expired]


async def _gone(connections: Postgres, hub: str) -> None:
    await connections.pool.execute(
        "UPDATE hubs SET seen_at = now() - interval '1 hour' WHERE instance = $1", hub
    )


# Leases.


async def test_a_lease_runs_only_while_its_hub_hears_nothing(
    store: Store, connections: Postgres
) -> None:
    spoke, epoch = await _spoke(store, await _hub(store))
    assert await _expired(store) == []
    await rows.silent(store, connections, spoke, epoch)
    assert await _expired(store) == [spoke]
    assert await store.fleet.keep([(spoke, epoch)]) == {spoke}
    assert await _expired(store) == []


async def test_an_old_connection_neither_ends_nor_keeps_a_lease(
    store: Store, connections: Postgres
) -> None:
    hub = await _hub(store)
    spoke, old = await _spoke(store, hub)
    new = await _greet(store, spoke, hub)
    await rows.silent(store, connections, spoke, old)
    assert await _expired(store) == []
    await rows.silent(store, connections, spoke, new)
    assert await store.fleet.keep([(spoke, old)]) == set()
    assert not await store.fleet.prolong(spoke, old, 45)
    assert await _expired(store) == [spoke]
    assert await store.fleet.prolong(spoke, new, 45)
    assert await _expired(store) == []


async def test_the_leases_of_a_hub_that_is_gone_run_from_its_last_word(
    store: Store, connections: Postgres
) -> None:
    dead, alive = await _hub(store), await _hub(store)
    spoke, _ = await _spoke(store, dead)
    other, _ = await _spoke(store, alive)
    await connections.pool.execute(
        "UPDATE spokes SET connected_at = now() - interval '2 hours', last_seen_at = connected_at"
        " WHERE spoke_id = $1",
        spoke,
    )
    assert await store.fleet.orphan(45) == []
    await connections.pool.execute("UPDATE spokes SET last_seen_at = connected_at")
    await _gone(connections, dead)
    assert await store.fleet.orphan(45) == [spoke]
    assert await _expired(store) == [spoke]
    assert other not in await _expired(store)


async def test_a_hub_learns_which_links_are_no_longer_its_own(store: Store) -> None:
    here, there = await _hub(store), await _hub(store)
    spoke, old = await _spoke(store, here)
    assert await store.fleet.held([(spoke, old)]) == {spoke: False}
    await store.fleet.let_run([(spoke, old, 1)], 45)
    assert await store.fleet.held([(spoke, old)]) == {spoke: True}
    await _greet(store, spoke, there)
    assert await store.fleet.held([(spoke, old)]) == {}


async def test_who_holds_a_spoke(store: Store, connections: Postgres) -> None:
    hub = await _hub(store)
    spoke, epoch = await _spoke(store, hub)
    holder = await store.fleet.holder(spoke)
    assert holder is not None
    assert holder.hub == hub
    await store.fleet.let_run([(spoke, epoch, 20)], 45)
    assert await store.fleet.holder(spoke) is None, "its link is silent or lost"
    await store.fleet.keep([(spoke, epoch)])
    await _gone(connections, hub)
    assert await store.fleet.holder(spoke) is None


# The lead.


async def test_one_hub_leads_until_its_time_is_over(store: Store, connections: Postgres) -> None:
    first, second = await _hub(store), await _hub(store)
    assert await store.fleet.lead(first) == 1
    assert await store.fleet.lead(second) is None
    assert await store.fleet.lead(first) == 1, "renewed, in the same term"
    await connections.pool.execute("UPDATE leaders SET expires_at = now() - interval '1 s'")
    assert await store.fleet.lead(second) == 2
    assert await store.fleet.lead(first) is None


async def test_a_leader_that_leaves_is_followed_at_once(store: Store) -> None:
    first, second = await _hub(store), await _hub(store)
    await store.fleet.lead(first)
    await store.fleet.leave(first)
    assert [row.instance for row in await store.fleet.hubs()] == [second]
    assert await store.fleet.lead(second) == 2


async def test_a_leader_of_an_earlier_term_calls_nobody_out_of_reach(
    store: Store, connections: Postgres
) -> None:
    """It was paused; meanwhile another took over, and may know better."""
    first, second = await _hub(store), await _hub(store)
    spoke, epoch = await _spoke(store, second)
    term = await store.fleet.lead(first)
    await store.fleet.leave_lead(first)
    assert await store.fleet.lead(second) == 2
    await rows.silent(store, connections, spoke, epoch)
    assert not await store.fleet.expire(spoke, term)
    assert await store.fleet.expire(spoke, 2)


async def test_the_doubt_of_a_leader_is_read_by_all(store: Store) -> None:
    first, second = await _hub(store), await _hub(store)
    term = await store.fleet.lead(first)
    assert term is not None
    await store.fleet.say_doubt(first, term, "too many at once")
    assert await store.fleet.doubt() == "too many at once"
    await store.fleet.leave_lead(first)
    await store.fleet.lead(second)
    assert await store.fleet.doubt() is None, "that was another leader's"


# Fences.


async def test_an_old_connection_acknowledges_nothing(store: Store) -> None:
    hub = await _hub(store)
    spoke, old = await _spoke(store, hub)
    await rows.assign(store, (await rows.spawn(store)).session_id, spoke)
    new = await _greet(store, spoke, hub)
    await store.outbox.acked(spoke, 1, old)
    assert [row.seq for row in await store.outbox.pending(spoke, 0, 9)] == [1]
    await store.outbox.acked(spoke, 1, new)
    assert await store.outbox.pending(spoke, 0, 9) == []


async def test_an_old_connection_refuses_nothing(store: Store) -> None:
    hub = await _hub(store)
    spoke, old = await _spoke(store, hub)
    id = (await rows.spawn(store)).session_id
    attempt = await rows.assign(store, id, spoke)
    new = await _greet(store, spoke, hub)
    await store.outbox.refused(id, attempt, "no", old)
    assert (await store.sessions.view(id)).state is State.ASSIGNED
    await store.outbox.refused(id, attempt, "no", new)
    assert (await store.sessions.view(id)).state is State.QUEUED


async def test_a_start_that_was_taken_at_the_last_moment_is_not_called_silent(
    store: Store,
) -> None:
    """The leader read that it was not; before it wrote, the answer was there."""
    hub = await _hub(store)
    spoke, epoch = await _spoke(store, hub)
    id = (await rows.spawn(store)).session_id
    attempt = await rows.assign(store, id, spoke)
    await store.outbox.acked(spoke, 1, epoch)
    await store.outbox.refused(id, attempt, "its spoke did not take the order in time")
    assert (await store.sessions.view(id)).state is State.ASSIGNED
    await store.outbox.refused(id, attempt, "no such agent", epoch)
    assert (await store.sessions.view(id)).state is State.QUEUED


async def _unknown(store: Store, hub: str) -> tuple[str, int, str, int]:
    spoke, epoch = await _spoke(store, hub)
    id = (await rows.spawn(store)).session_id
    attempt = await rows.run(store, spoke, epoch, id)
    assert await store.sessions.tell(id, Fact.CONTACT_LOST, "away", {}) is State.UNKNOWN
    return spoke, epoch, id, attempt


async def test_what_is_found_is_found_by_the_newest_connection(store: Store) -> None:
    hub = await _hub(store)
    spoke, old, id, attempt = await _unknown(store, hub)
    new = await _greet(store, spoke, hub)
    assert await store.exchange.found(id, attempt, spoke, old) is None
    assert await store.exchange.found(id, attempt + 1, spoke, new) is None
    assert (await store.sessions.view(id)).state is State.UNKNOWN
    assert await store.exchange.found(id, attempt, spoke, new) is State.RUNNING


async def test_the_proof_of_an_old_connection_proves_nothing(store: Store) -> None:
    hub = await _hub(store)
    spoke, old, id, attempt = await _unknown(store, hub)
    new = await _greet(store, spoke, hub)
    assert await store.exchange.give_up(id, attempt, "gone", by=(spoke, old)) is None
    assert (await store.sessions.view(id)).state is State.UNKNOWN
    assert await store.exchange.give_up(id, attempt, "gone", by=(spoke, new)) is State.LOST


async def test_a_reaper_that_was_late_gives_up_nothing_that_is_back(store: Store) -> None:
    """It read `unknown`; before it wrote, the spoke was back."""
    spoke, epoch, id, attempt = await _unknown(store, await _hub(store))
    assert await store.exchange.found(id, attempt, spoke, epoch) is State.RUNNING
    late = await store.exchange.give_up(id, attempt, "too long", only_in=State.UNKNOWN)
    assert late is None
    assert (await store.sessions.view(id)).state is State.RUNNING


async def test_what_is_back_and_begins_again_is_not_given_up_for_the_time_before(
    store: Store, connections: Postgres
) -> None:
    """Its machine was off; now it fetches the repository, and says nothing until it is there."""
    hub = await _hub(store)
    spoke, _, id, _ = await _unknown(store, hub)
    await connections.pool.execute("UPDATE sessions SET state_since = now() - interval '2 hours'")
    await _greet(store, spoke, hub)
    assert await store.fleet.long_unknown(3_600, 43_200) == []
    await connections.pool.execute("UPDATE spokes SET connected_at = now() - interval '2 hours'")
    assert [row.session_id for row in await store.fleet.long_unknown(3_600, 43_200)] == [id]


async def test_a_laptop_may_sleep(store: Store, connections: Postgres) -> None:
    _, _, id, _ = await _unknown(store, await _hub(store))
    laptop, _, asleep, _ = await _unknown(store, await _hub(store))
    await connections.pool.execute(
        'UPDATE spokes SET labels = \'{"laptop": "true"}\' WHERE spoke_id = $1', laptop
    )
    await connections.pool.execute("UPDATE spokes SET online = false")
    await connections.pool.execute("UPDATE sessions SET state_since = now() - interval '2 hours'")
    found = {row.session_id for row in await store.fleet.long_unknown(3_600, 43_200)}
    assert found == {id}
    assert {row.session_id for row in await store.fleet.long_unknown(3_600, 3_600)} == {id, asleep}


async def test_a_silent_start_counts_from_the_connection(
    store: Store, connections: Postgres
) -> None:
    """After an hour without a hub, the spoke has not been asked for an hour."""
    hub = await _hub(store)
    spoke, _ = await _spoke(store, hub)
    id = (await rows.spawn(store)).session_id
    await rows.assign(store, id, spoke)
    old = "UPDATE mappings SET assigned_at = now() - interval '1 hour'"
    await connections.pool.execute(old)
    assert await store.outbox.silent(60) == []
    await connections.pool.execute("UPDATE spokes SET connected_at = now() - interval '1 hour'")
    assert [row.session_id for row in await store.outbox.silent(60)] == [id]


# Retention.


async def test_events_go_when_all_of_their_day_is_long_over(
    store: Store, connections: Postgres
) -> None:
    await store.access.ensure_partitions(1)
    ended, live = [(await rows.spawn(store)).session_id for _ in "ab"]
    days = (
        "UPDATE sessions SET birth_day = current_date - 40, created_at = now() - '40 d'::interval"
    )
    await connections.pool.execute("TRUNCATE session_events")
    await connections.pool.execute(days)
    await connections.pool.execute(
        "CREATE TABLE session_events_{:%Y%m%d} PARTITION OF session_events"
        " FOR VALUES FROM ('{:%Y-%m-%d}') TO ('{:%Y-%m-%d}')".format(*await _days(connections))
    )
    await store.sessions.abort(ended, ids.new_abort(), "me", {"reason": ""}, upgrade=False)
    long_ago = "UPDATE sessions SET finished_at = now() - interval '35 days' WHERE session_id = $1"
    await connections.pool.execute(long_ago, ended)
    assert await store.fleet.drop_events(30) == 0, "the other one is not over"
    await store.sessions.abort(live, ids.new_abort(), "me", {"reason": ""}, upgrade=False)
    assert await store.fleet.drop_events(30) == 0, "nor is it long ago"
    await connections.pool.execute(long_ago, live)
    assert await store.fleet.drop_events(30) == 1
    assert await store.sessions.events(await store.sessions.story(ended), ended, 0, 9) == []


async def _days(connections: Postgres) -> tuple[object, object, object]:
    """The day of all sessions, as a name and as a range: today may be another day by now."""
    return await connections.pool.fetchrow(
        "SELECT DISTINCT birth_day, birth_day, birth_day + 1 FROM sessions"
    )


async def test_orders_that_were_told_go_after_their_time(
    store: Store, connections: Postgres
) -> None:
    spoke, epoch = await _spoke(store, await _hub(store))
    for _ in range(2):
        await rows.assign(store, (await rows.spawn(store)).session_id, spoke)
    await store.outbox.acked(spoke, 1, epoch)
    assert await store.fleet.tidy(3_600) == 0
    await connections.pool.execute("UPDATE commands SET acked_at = acked_at - interval '2 h'")
    assert await store.fleet.tidy(3_600) == 1
    assert [row.seq for row in await store.outbox.pending(spoke, 0, 9)] == [2]


# Word between hubs.


def test_many_topics_go_in_few_texts() -> None:
    topics = [f"outbox:sp_{n:016}" for n in range(2_000)]
    texts = list(payloads("hi_1", topics))
    assert 1 < len(texts) < 20
    assert all(len(text) <= PAYLOAD_BYTES and text.startswith("hi_1 ") for text in texts)
    assert [topic for text in texts for topic in text.split(" ")[1:]] == topics
    assert list(payloads("hi_1", [])) == []
