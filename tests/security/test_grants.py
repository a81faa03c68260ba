"""What a session may spawn: so many children, so deep, and no larger grant than its own."""

from __future__ import annotations

from typing import Any

from hub.app import RunningHub
from hub.store import Store
from tests.security import people
from tests.security.family import family
from tests.security.people import Watch
from tests.security.raw import Raw, entered, said
from tests.support import rows


async def grant(store: Store, id: str) -> tuple[int, int]:
    found = await store.spawner.grant_of(id)
    return found.depth, found.children


async def spawned(raw: Raw, **more: Any) -> dict[str, Any]:
    given = {"task": "t", "repo": "/r", "command": "c", "until": "queued"}
    return await raw.ask("coord.spawn", {**given, "requires": {"never": "there"}, **more})


QUOTA = ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")


async def test_z4_not_more_children_than_were_granted(
    running_hub: RunningHub, watch: Watch
) -> None:
    async with family(running_hub) as one:
        for _ in range(7):  # it has one
            assert "result" in await spawned(one.raw)
        ninth = await spawned(one.raw)
        assert said(ninth) == QUOTA
        assert ninth["error"]["data"]["retryable"] is False
        assert ninth["error"]["data"]["details"]["limit"] == 8
        swarm = {"tasks": ["a", "b"], "repo": "/r", "command": "c", "until": "queued"}
        both = (await one.raw.ask("coord.swarm", swarm))["result"]
        assert (both["spawned"], both["failed"]) == (0, 2), "nor by a swarm"
        await watch.client.abort(one.child)
        assert "result" in await spawned(one.raw), "those that ended do not count"


async def test_z4_many_at_once_are_not_more(running_hub: RunningHub) -> None:
    async with family(running_hub) as one:
        given = {
            "tasks": [f"t{n}" for n in range(30)], "repo": "/r", "command": "c", "until": "queued",
        }  # fmt: skip
        made = (await one.raw.ask("coord.swarm", given))["result"]
        assert made["spawned"] == 7


async def test_z4_not_deeper_than_was_granted(running_hub: RunningHub) -> None:
    """Whoever of the line asks: three levels below the first are three levels."""
    store = people.store_of(running_hub)
    async with family(running_hub) as one:
        line = [one.own]
        for depth in (2, 1, 0):
            made = await spawned(one.raw, parentSessionId=line[-1], grantDepth=16)
            line.append(made["result"]["sessionId"])
            assert await grant(store, line[-1]) == (depth, 8)
        assert said(await spawned(one.raw, parentSessionId=line[-1])) == QUOTA
        spoke, _ = await rows.spoke(store)
        token = await people.credential(store, spoke, line[-1])
        async with entered(running_hub.url, f"Bearer {token}") as last:
            assert said(await spawned(last)) == QUOTA


async def test_z4_no_larger_grant_than_ones_own(running_hub: RunningHub) -> None:
    store = people.store_of(running_hub)
    async with family(running_hub) as one:
        made = await spawned(one.raw, grantDepth=16, grantChildren=1_000)
        assert await grant(store, made["result"]["sessionId"]) == (2, 8)
        small = await spawned(one.raw, grantDepth=0, grantChildren=1)
        assert await grant(store, small["result"]["sessionId"]) == (0, 1)
