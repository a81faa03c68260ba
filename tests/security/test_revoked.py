"""Credentials end, by their time or by a word, and with them what they opened."""

from __future__ import annotations

import asyncio

import pytest

import coord
from hub.app import RunningHub
from hub.door import links
from protocol.errors import Cancelled
from tests.security import people
from tests.security.people import Watch, authorization
from tests.security.raw import PATIENCE, call, entered, knock, said


async def test_a4_the_databases_clock_decides(running_hub: RunningHub, hub_database: str) -> None:
    """It is never compared with a clock of the hub's."""
    token = (await people.user(running_hub, "admin")).token
    async with coord.connect(running_hub.url, token):
        pass
    await people.set_token(hub_database, token, "expires_at = now() - interval '1 second'")
    answer = await knock(running_hub.url, [authorization(token)])
    assert (answer.status, answer.reason()) == (401, "TOKEN_EXPIRED")
    await people.set_token(hub_database, token, "expires_at = now() + interval '1 hour'")
    async with coord.connect(running_hub.url, token):
        pass


async def test_a5_revoked_while_it_waits_it_is_told_so_and_closed(
    running_hub: RunningHub, watch: Watch
) -> None:
    made = await people.user(running_hub, "operator")
    session = await people.queued(people.store_of(running_hub))
    async with (
        entered(running_hub.url, f"Bearer {made.token}") as one,
        entered(running_hub.url, f"Bearer {made.token}") as two,
    ):
        waits = call("w", "coord.wait", {"sessionIds": [session]})
        await one.say(waits)
        await one.say(call("e", "coord.events", {"sessionId": session}))
        assert (await one.read())["method"] == "$/progress", "both are under way"
        await watch.client.call("token.revoke", {"tokenId": made.token_id})
        for ended in await one.answers("w", "e"):
            assert said(ended) == ("CANCELLED", "TOKEN_REVOKED")
        assert [await one.close_code(), await two.close_code()] == [4401, 4401]
    answer = await knock(running_hub.url, [authorization(made.token)])
    assert (answer.status, answer.reason()) == (401, "TOKEN_REVOKED")


async def test_a5_who_does_not_hear_it_is_cut_and_not_obeyed(
    running_hub: RunningHub, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A close is a request: who ignores it could go on asking until a timeout."""
    assert 2 * links.ENDING_SECONDS < 1
    made = await people.user(running_hub, "admin")
    spawn = {"task": "late", "repo": "/r", "command": "c", "until": "queued"}
    async with entered(running_hub.url, f"Bearer {made.token}") as stubborn:
        await watch.client.call("token.revoke", {"tokenId": made.token_id})
        for n in range(5):
            await stubborn.say(call(f"s{n}", "coord.spawn", spawn))
        await stubborn.end()  # by the hub: nothing here answers its close
    assert (await watch.client.status()).sessions == []


async def test_a5_of_a_client_of_ours(running_hub: RunningHub, watch: Watch) -> None:
    made = await people.user(running_hub, "operator")
    session = await people.queued(people.store_of(running_hub))
    async with coord.connect(running_hub.url, made.token) as hub:
        waiting = asyncio.create_task(hub.wait(session))
        async with asyncio.timeout(PATIENCE):
            while not people.desk_of(running_hub).links.node.in_flight():
                await asyncio.sleep(0)
        await watch.client.call("token.revoke", {"tokenId": made.token_id})
        with pytest.raises(Cancelled) as caught:
            await waiting
        assert caught.value.reason == "TOKEN_REVOKED"


async def test_a5_who_revokes_itself_gets_its_answer(running_hub: RunningHub) -> None:
    made = await people.user(running_hub, "admin")
    async with entered(running_hub.url, f"Bearer {made.token}") as raw:
        answer = await raw.ask("token.revoke", {"tokenId": made.token_id})
        assert answer["result"]["revokedAt"] is not None
        assert await raw.close_code() == 4401


async def test_a5_a_revoked_spoke_is_gone_with_the_tokens_of_its_sessions(
    running_hub: RunningHub, watch: Watch, hub_database: str
) -> None:
    one = await people.spoke(running_hub)
    session = await people.queued(people.store_of(running_hub))
    async with people.online(running_hub, one) as link:
        token = await people.taken(running_hub, link, one.id, session)
        async with entered(running_hub.url, f"Bearer {token}") as agent:
            lost = await watch.client.call("spoke.revoke", {"spoke": one.name})
            assert isinstance(lost, dict) and lost["lost"] == [session]
            assert await link.close_code() == 4403
            assert await agent.close_code() == 4401
    assert (await knock(running_hub.url, [authorization(token)])).status == 401
    answer = await knock(running_hub.url, [f"Authorization: {await one.proof(running_hub)}"])
    assert (answer.status, answer.reason()) == (403, "SPOKE_REVOKED")
    assert await people.audited(hub_database, "SPOKE_REVOKED") == 1
