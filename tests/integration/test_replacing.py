"""A replaceable session is started elsewhere, once its first agent cannot be alive any more."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from hub.store import Postgres, Store
from protocol import ids
from protocol.ops.wire import StartOrder
from protocol.session import State
from spoke.contact import Contact
from tests.support import rows
from tests.support.rows import record

FENCE_MS = 120_000
MARGIN = 60.0


async def _running(store: Store, connections: Postgres) -> tuple[str, int, str, int]:
    """A replaceable session at work: its spoke, epoch, id and attempt."""
    hub = ids.new_instance()
    await store.fleet.beat(hub, "", "1")
    spoke, _ = await rows.spoke(store)
    greeted = await store.exchange.greet(rows.hello(spoke), "1", 45, hub)
    assert greeted is not None
    id = (await rows.spawn(store)).session_id
    await connections.pool.execute(
        "UPDATE sessions SET spec = spec || '{\"fence_ms\": 120000}' WHERE session_id = $1", id
    )
    return spoke, greeted.epoch, id, await rows.run(store, spoke, greeted.epoch, id)


async def _out_of_reach(store: Store, db: Postgres, spoke: str, epoch: int) -> None:
    await rows.silent(store, db, spoke, epoch)
    assert await store.fleet.expire(spoke)
    await store.fleet.lose_contact()


async def _seen(connections: Postgres, spoke: str, ago: float) -> None:
    await connections.pool.execute(
        "UPDATE spokes SET last_seen_at = now() - $2::interval WHERE spoke_id = $1",
        spoke, timedelta(seconds=ago),
    )  # fmt: skip


async def _replaceable(store: Store) -> list[str]:
    return [row.session_id for row in await store.fleet.replaceable(MARGIN)]


async def test_nothing_is_replaced_before_its_agent_has_ended_itself(
    store: Store, connections: Postgres
) -> None:
    spoke, epoch, id, attempt = await _running(store, connections)
    assert await _replaceable(store) == []
    await _out_of_reach(store, connections, spoke, epoch)
    await _seen(connections, spoke, FENCE_MS / 1_000 + MARGIN - 5)
    assert await _replaceable(store) == []
    await _seen(connections, spoke, FENCE_MS / 1_000 + MARGIN + 1)
    assert await _replaceable(store) == [id]
    assert await store.fleet.replace(id, attempt)
    row = await store.sessions.view(id)
    assert (row.state, row.attempt) == (State.QUEUED, attempt)
    other, _ = await rows.spoke(store)
    assert await rows.assign(store, id, other) == attempt + 1


async def test_what_is_kept_is_never_replaced(store: Store, connections: Postgres) -> None:
    spoke, epoch, id, _ = await _running(store, connections)
    await connections.pool.execute("UPDATE sessions SET spec = spec - 'fence_ms'")
    await _out_of_reach(store, connections, spoke, epoch)
    await _seen(connections, spoke, 10_000)
    assert await _replaceable(store) == []
    assert (await store.sessions.view(id)).state is State.UNKNOWN


async def test_a_spoke_that_is_back_keeps_its_session(store: Store, connections: Postgres) -> None:
    """The reaper had read it as replaceable; then came the hello."""
    spoke, epoch, id, attempt = await _running(store, connections)
    await _out_of_reach(store, connections, spoke, epoch)
    await store.exchange.greet(rows.hello(spoke), "1", 45)
    assert not await store.fleet.replace(id, attempt)
    assert (await store.sessions.view(id)).state is State.UNKNOWN
    assert len(await store.exchange.live_on(spoke)) == 1


async def test_an_abort_is_stronger_than_a_replacement(store: Store, connections: Postgres) -> None:
    spoke, epoch, id, attempt = await _running(store, connections)
    await _out_of_reach(store, connections, spoke, epoch)
    await store.sessions.abort(id, ids.new_abort(), "me", {"reason": ""}, upgrade=False)
    await _seen(connections, spoke, 10_000)
    assert await _replaceable(store) == []
    assert not await store.fleet.replace(id, attempt)


async def test_a_sign_of_life_beside_the_link_counts_as_contact(
    store: Store, connections: Postgres
) -> None:
    """It reached one hub, and the other one, which held the link, died."""
    spoke, epoch, _, _ = await _running(store, connections)
    await connections.pool.execute(
        "UPDATE spokes SET connected_at = now() - interval '1 hour', last_seen_at = connected_at"
    )
    await connections.pool.execute("UPDATE hubs SET seen_at = now() - interval '1 hour'")
    assert await store.fleet.prolong(spoke, epoch, 45)
    assert await store.fleet.orphan(45) == [spoke]
    assert not any(row.expired for row in await store.fleet.leases())


@pytest.mark.parametrize("noticed", [True, False])
async def test_an_agent_that_ended_itself_waits_for_a_spoke_again(
    store: Store, connections: Postgres, noticed: bool
) -> None:
    """Whether or not a hub had called its spoke out of reach meanwhile."""
    spoke, epoch, id, attempt = await _running(store, connections)
    if noticed:
        await _out_of_reach(store, connections, spoke, epoch)
    greeted = await store.exchange.greet(rows.hello(spoke), "1", 45)
    assert greeted is not None
    exited = record("exited", outcome="aborted", reason="FENCED", survivors=0)
    said = await store.exchange.append(spoke, greeted.epoch, id, attempt, 3, [exited])
    assert said.verdict == "ok"
    row = await store.sessions.view(id)
    assert (row.state, row.result, row.finished_at) == (State.QUEUED, None, None)
    assert await store.exchange.live_on(spoke) == []
    assert await rows.assign(store, id, spoke) == attempt + 1


@pytest.mark.parametrize("reason", [None, "its work was done"])
async def test_what_ended_by_itself_is_not_started_again(
    store: Store, connections: Postgres, reason: str | None
) -> None:
    """Its agent did what it was there for: that it may be replaced changes nothing."""
    spoke, epoch, id, attempt = await _running(store, connections)
    exited = record("exited", outcome="completed", reason=reason, exitCode=0, survivors=0)
    await store.exchange.append(spoke, epoch, id, attempt, 3, [exited])
    row = await store.sessions.view(id)
    assert (row.state, row.attempt, row.exit_code) == (State.COMPLETED, attempt, 0)


async def test_an_abort_and_the_fence_come_to_one_end(store: Store, connections: Postgres) -> None:
    spoke, epoch, id, attempt = await _running(store, connections)
    await store.sessions.abort(id, ids.new_abort(), "me", {"reason": ""}, upgrade=False)
    exited = record("exited", outcome="aborted", reason="FENCED", survivors=0)
    await store.exchange.append(spoke, epoch, id, attempt, 3, [exited])
    row = await store.sessions.view(id)
    assert (row.state, row.abort_confirmed) == (State.ABORTED, True)


async def test_the_order_carries_the_fence(store: Store, connections: Postgres) -> None:
    spoke, _, _, _ = await _running(store, connections)
    [order] = await store.outbox.pending(spoke, 0, 9)
    assert isinstance(order.spec, dict)
    assert order.spec["fence_ms"] == FENCE_MS
    assert "fence_ms" in StartOrder.model_fields


def test_contact_is_written_where_the_fence_reads_it(tmp_path: Path) -> None:
    contact = Contact(tmp_path / "contact")
    contact.confirmed(contact.saying())
    assert len((tmp_path / "contact").read_text().split()) == 2
