"""coord.wait until somebody is needed: of named sessions, or of all below one."""

from __future__ import annotations

import coord
from hub.app import RunningHub
from protocol.ops.sessions import Waited
from protocol.session import Fact
from tests.support.rows import new_session
from tests.support.seat import Seat, beside, seat


async def _looked(client: coord.Hub, on: Seat) -> bool:
    return (await client.wait(on.id, until="attention", timeout_ms=0)).reached


async def test_what_needs_somebody(running_hub: RunningHub, client: coord.Hub) -> None:
    store = running_hub._desk.store
    on = await seat(store)
    assert not await _looked(client, on), "it works"
    await on.agent("activity", activity="idle")
    assert not await _looked(client, on), "it has done its work, and is kept"
    await on.agent("activity", activity="waiting", note="asks run: ls", question=1)
    assert await _looked(client, on)
    await on.agent("activity", activity="busy")
    await on.agent("silent", since=1, doing="model")
    assert await _looked(client, on)
    await on.agent("heard", after=1)
    assert not await _looked(client, on)
    await store.sessions.tell(on.id, Fact.CONTACT_LOST, "away", {})
    assert await _looked(client, on), "it is out of reach"
    await store.sessions.tell(on.id, Fact.FOUND, "back", {})
    assert not await _looked(client, on)
    await on.exits(outcome="completed")
    assert await _looked(client, on)


async def test_of_those_below_the_live_ones_count(
    running_hub: RunningHub, client: coord.Hub
) -> None:
    store = running_hub._desk.store
    lead = await seat(store)
    ended = await beside(lead, new_session(parent=lead.id))
    works = await beside(lead, new_session(parent=lead.id))
    deeper = await beside(lead, new_session(parent=works.id))
    await ended.exits(outcome="completed")

    async def look(mode: str) -> Waited:
        return await client.wait(
            below=lead.id, until="attention", mode="any" if mode == "any" else "all", timeout_ms=0
        )

    seen = await look("any")
    assert not seen.reached
    assert {one.session_id for one in seen.sessions} == {works.id, deeper.id}
    await deeper.agent("activity", activity="waiting", note="asks run: ls", question=1)
    assert (await look("any")).reached
    assert not (await look("all")).reached
    await works.exits(outcome="failed", reason="exit code 1")
    assert (await look("all")).reached
    await deeper.exits(outcome="completed")
    assert (await look("any")).reached, "there is none left"
