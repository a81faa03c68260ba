"""Calls with an idempotency key: one call for each, over retries, restarts and other hubs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import coord
from hub.app import RunningHub, serve
from hub.settings import HubSettings
from hub.store import Postgres, Store
from protocol.errors import AlreadyExists, Conflict, DataLoss, DeadlineExceeded, NotFound
from tests.security import people

KEY = "deploy-7"


@pytest.fixture
async def session(running_hub: RunningHub) -> str:
    return await people.queued(people.store_of(running_hub))


async def test_the_same_call_has_the_same_answer(client: coord.Hub, session: str) -> None:
    note = {"text": "once", "sessionId": session}
    first = await client.call("coord.notify", note, key=KEY)
    assert await client.call("coord.notify", note, key=KEY) == first
    assert await client.call("coord.notify", note) != first, "without a key it is said again"
    said = [one.body.get("text") async for one in client.events(session, follow=False)]
    assert said.count("once") == 2


async def test_many_at_once_are_one_call(client: coord.Hub, session: str) -> None:
    note = {"text": "once", "sessionId": session}
    answers = await asyncio.gather(*(client.call("coord.notify", note, key=KEY) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)


async def test_a_key_that_says_something_else_is_refused(client: coord.Hub, session: str) -> None:
    await client.call("coord.notify", {"text": "a", "sessionId": session}, key=KEY)
    with pytest.raises(Conflict, match="IDEMPOTENCY_CONFLICT"):
        await client.call("coord.notify", {"text": "b", "sessionId": session}, key=KEY)
    with pytest.raises(Conflict, match="IDEMPOTENCY_CONFLICT") as other:
        await client.call("coord.abort", {"sessionId": session}, key=KEY)
    assert other.value.details == {"op": "coord.notify"}


async def test_an_error_is_an_answer_too(client: coord.Hub) -> None:
    note = {"text": "a", "sessionId": "ses_gone"}
    for _ in range(2):
        with pytest.raises(NotFound, match="SESSION_NOT_FOUND"):
            await client.call("coord.notify", note, key=KEY)


async def test_a_secret_is_shown_once(client: coord.Hub) -> None:
    token = {"name": "ci", "role": "viewer"}
    await client.call("token.create", token, key=KEY)
    with pytest.raises(AlreadyExists, match="ANSWER_WITHHELD"):
        await client.call("token.create", token, key=KEY)


async def test_a_spawn_keeps_the_key_of_its_session(client: coord.Hub) -> None:
    work = {"task": "t", "repo": "/r", "command": "true", "until": "queued"}
    made = await client.call("coord.spawn", work, key=KEY)
    again = await client.call("coord.spawn", {**work, "idempotencyKey": KEY})
    assert isinstance(made, dict) and isinstance(again, dict)
    assert made["sessionId"] == again["sessionId"] and not again["created"]


async def test_what_only_reads_needs_no_key(client: coord.Hub) -> None:
    await client.call("coord.status", {}, key=KEY)
    await client.call("coord.status", {"limit": 1}, key=KEY)


async def test_a_call_that_another_hub_runs_is_waited_for(
    client: coord.Hub, session: str, connections: Postgres
) -> None:
    """And taken over when that hub is gone: what cannot be run twice has no known outcome then."""
    sql = connections.pool.execute
    note = {"text": "a", "sessionId": session}
    first = await client.call("coord.notify", note, key=KEY)
    await sql("INSERT INTO hubs (instance, url, version) VALUES ('other', 'ws://o', '1')")
    await sql("CREATE TABLE kept AS SELECT answer FROM calls")
    await sql("UPDATE calls SET answer = NULL, instance = 'other'")
    waiting = asyncio.create_task(client.call("coord.notify", note, key=KEY))
    with pytest.raises(DeadlineExceeded):
        await client.call("coord.notify", note, key=KEY, within=0.2)
    await sql("UPDATE calls SET answer = (SELECT answer FROM kept)")
    assert await waiting == first
    await sql("UPDATE calls SET answer = NULL")
    await sql("UPDATE hubs SET left_at = now() WHERE instance = 'other'")
    for _ in range(2):
        with pytest.raises(DataLoss, match="OUTCOME_UNKNOWN"):
            await client.call("coord.notify", note, key=KEY)


async def test_an_idempotent_call_is_run_again_after_its_hub_died(
    client: coord.Hub, session: str, connections: Postgres
) -> None:
    await client.call("coord.abort", {"sessionId": session}, key=KEY)
    await connections.pool.execute("UPDATE calls SET answer = NULL, instance = 'gone'")
    receipt = await client.call("coord.abort", {"sessionId": session}, key=KEY)
    assert isinstance(receipt, dict) and receipt["complete"]


async def test_keys_are_kept_for_a_week(
    client: coord.Hub, store: Store, connections: Postgres
) -> None:
    await client.call("token.create", {"name": "a", "role": "viewer"}, key="old")
    await connections.pool.execute("UPDATE calls SET claimed_at = now() - interval '8 days'")
    await client.call("token.create", {"name": "b", "role": "viewer"}, key="new")
    await store.keys.tidy()  # unless the hub has done it meanwhile
    kept = await connections.pool.fetch("SELECT key FROM calls")
    assert [row["key"] for row in kept] == ["new"]
    await client.call("token.create", {"name": "c", "role": "viewer"}, key="old")


async def test_a_stored_answer_survives_the_hub(
    hub_database: str, tmp_path: Path, connections: Postgres
) -> None:
    """The program never learns that there were two hubs."""
    first = HubSettings(database_url=hub_database, port=0, http_port=0, state=tmp_path)
    async with serve(first) as hub:
        token = await hub.admin_token("test")
        async with coord.connect(hub.url, token) as client:
            made = await client.call("spoke.invite", {"name": "gpu"}, key="a")
            noted = await client.call("coord.cleanup", {}, key=KEY)
    assert isinstance(made, dict) and made["join"]
    async with serve(first) as hub, coord.connect(hub.url, token) as client:
        assert await client.call("coord.cleanup", {}, key=KEY) == noted
        with pytest.raises(AlreadyExists, match="ANSWER_WITHHELD"):
            await client.call("spoke.invite", {"name": "gpu"}, key="a")
    kept = await connections.pool.fetchval("SELECT string_agg(answer::text, '') FROM calls")
    assert "coord-join" not in kept, "no secret at rest"
