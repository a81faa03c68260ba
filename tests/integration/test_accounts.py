"""The limit of an account is ended before its time: once, and who waited goes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import coord
from hub.app import RunningHub
from hub.store import Postgres, Store
from protocol.errors import NotFound, PermissionDenied
from protocol.ops import catalogue as ops
from protocol.session import State
from tests.security import people
from tests.support.rows import new_session
from tests.support.seat import Seat, beside, seat

SPREAD = timedelta(0)


async def _limited(store: Store, hours: int = 3) -> Seat:
    """One of claude's, parked by its provider for hours."""
    on = await seat(store, replace(new_session(), agent="claude"))
    at = datetime.now(UTC) + timedelta(hours=hours)
    await on.fails("rateLimited", "5 hour limit", int(at.timestamp() * 1_000))
    return on


async def _waiting(on: Seat) -> set[str]:
    """Who could be placed now."""
    scene = await on.store.outbox.scene(100)
    assert isinstance(scene.waiting, list)
    return {str(one[0]) for one in scene.waiting if isinstance(one, list)}


async def _woken(on: Seat) -> list[object]:
    story = await on.store.sessions.story(on.id)
    events = await on.store.sessions.events(story, on.id, 0, 1_000)
    return [
        (one.body["by"], one.body["reason"])
        for one in events
        if one.kind == "woken" and isinstance(one.body, dict)
    ]


async def test_who_waited_goes_on_and_says_who_did_it(store: Store) -> None:
    on = await _limited(store)
    assert await _waiting(on) == set()
    [row] = await store.policy.accounts()
    assert (row.account, row.waiting, row.strikes) == ("claude", 1, 1)
    assert await store.policy.lift("claude", "operator:ann", "topped up", SPREAD) == [on.id]
    assert await _waiting(on) == {on.id}
    assert await _woken(on) == [("operator:ann", "topped up")]
    [row] = await store.policy.accounts("claude")
    assert (row.limited_until, row.strikes) == (None, 0)
    assert await store.policy.due() == [], "it is not woken again when the limit would be over"


async def test_of_many_who_open_it_at_once_one_does(store: Store, connections: Postgres) -> None:
    on, other = await _limited(store), Store(connections)
    said = await asyncio.gather(
        *(one.policy.lift("claude", "ann", "", SPREAD) for _ in range(6) for one in (store, other))
    )
    assert [one for one in said if one is not None] == [[on.id]]
    assert len(await _woken(on)) == 1


async def test_the_next_limit_begins_anew(store: Store) -> None:
    on = await _limited(store)
    await store.policy.lift("claude", "ann", "", SPREAD)
    again = await on.placed_again()
    await again.fails("rateLimited", "429")
    [row] = await store.policy.accounts("claude")
    assert row.strikes == 1
    assert row.limited_until is not None
    assert row.limited_until - row.now <= timedelta(minutes=1)


async def test_it_wakes_nobody_else(store: Store) -> None:
    on = await _limited(store)
    other = await beside(on, replace(new_session(), agent="codex"))
    await other.fails("rateLimited", "429")
    await store.policy.lift("claude", "ann", "", SPREAD)
    assert await _woken(other) == []
    assert [row.account for row in await store.policy.accounts()] == ["codex", "claude"]


async def test_people_open_it_and_sessions_do_not(
    running_hub: RunningHub, client: coord.Hub, hub_database: str
) -> None:
    store = running_hub._desk.store
    on = await _limited(store)
    await store.exchange.set_cordoned(on.spoke, cordoned=True, draining=False)  # it stays queued
    [listed] = (await client.ask(ops.ACCOUNT_LIST, {})).accounts
    assert (listed.account, listed.state, listed.waiting) == ("claude", "limited", 1)
    opened = await client.ask(ops.ACCOUNT_OPEN, {"account": "claude", "reason": "topped up"})
    assert (opened.was_limited, opened.woken, opened.account.state) == (True, [on.id], "open")
    again = await client.ask(ops.ACCOUNT_OPEN, {"account": "claude"})
    assert (again.was_limited, again.woken) == (False, [])
    audited = await people.select(
        hub_database, "SELECT object, outcome FROM audit WHERE op = 'account.open'"
    )
    assert [tuple(row) for row in audited] == [("claude", "opened")]
    view = await store.sessions.view(on.id)
    assert view.state is State.QUEUED
    with pytest.raises(NotFound, match="was ever limited"):
        await client.ask(ops.ACCOUNT_OPEN, {"account": "nobody"})
    made = await client.call("token.create", {"name": "guest", "role": "viewer"})
    assert isinstance(made, dict)
    async with coord.connect(running_hub.url, str(made["token"])) as guest:
        assert len((await guest.ask(ops.ACCOUNT_LIST, {})).accounts) == 1
        with pytest.raises(PermissionDenied):
            await guest.ask(ops.ACCOUNT_OPEN, {"account": "claude"})
