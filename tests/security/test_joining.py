"""How a spoke becomes one of ours: join tokens, good once, for a time, for a name."""

from __future__ import annotations

import pytest

from hub.app import RunningHub
from tests.security import people
from tests.security.people import Watch, authorization
from tests.security.raw import call, entered, knock, said


async def test_a7_a_join_token_opens_once(running_hub: RunningHub, hub_database: str) -> None:
    token = await people.join_token(running_hub, "gpu-1")
    key = "ab" * 32
    async with (
        entered(running_hub.url, f"Bearer {token}") as one,
        entered(running_hub.url, f"Bearer {token}") as two,
    ):
        for id, link in (("a", one), ("b", two)):
            await link.say(call(id, "spoke.enroll", {"host": "h", "publicKey": key}))
        answers = [await one.answer("a"), await two.answer("b")]
    refused = [answer for answer in answers if "error" in answer]
    assert [said(answer) for answer in refused] == [("UNAUTHENTICATED", "JOIN_TOKEN_USED")]
    answer = await knock(running_hub.url, [authorization(token)])
    assert (answer.status, answer.reason()) == (401, "JOIN_TOKEN_USED")
    assert await people.audited(hub_database, "JOIN_TOKEN_USED") == 1
    assert await people.audited(hub_database, "enrolled") == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("expires_at = now() - interval '1 second'", "JOIN_TOKEN_EXPIRED"),
        ("revoked_at = now()", "JOIN_TOKEN_REVOKED"),
        ("used_at = now()", "JOIN_TOKEN_USED"),
    ],
)
async def test_a7_a_join_token_ends(
    running_hub: RunningHub, hub_database: str, change: str, reason: str
) -> None:
    token = await people.join_token(running_hub, "gpu-1")
    async with entered(running_hub.url, f"Bearer {token}") as early:
        await people.set_token(hub_database, token, change)
        answer = await knock(running_hub.url, [authorization(token)])
        assert (answer.status, answer.reason()) == (401, reason)
        late = await early.ask("spoke.enroll", {"host": "h", "publicKey": "ab" * 32})
        assert said(late) == ("UNAUTHENTICATED", "JOIN_TOKEN_USED"), "who is inside already too"
    assert await people.audited(hub_database, reason) == 1


async def test_a7_a_join_token_is_for_the_name_it_says(
    running_hub: RunningHub, hub_database: str
) -> None:
    token = await people.join_token(running_hub, "gpu-1")
    async with entered(running_hub.url, f"Bearer {token}") as raw:
        given = {"name": "gpu-2", "host": "h", "publicKey": "ab" * 32}
        assert said(await raw.ask("spoke.enroll", given)) == ("PERMISSION_DENIED", "WRONG_NAME")
    assert await people.audited(hub_database, "WRONG_NAME") == 1
    assert await people.select(hub_database, "SELECT FROM coord.spokes") == []


async def test_a7_a_key_that_is_none_does_not_use_the_token_up(
    running_hub: RunningHub, watch: Watch
) -> None:
    token = await people.join_token(running_hub, "gpu-1")
    async with entered(running_hub.url, f"Bearer {token}") as raw:
        for key in ("", "a", "abc", "zz" * 32, "ab" * 31, "ab" * 33, "AB" * 32):
            refused = await raw.ask("spoke.enroll", {"host": "h", "publicKey": key})
            assert "error" in refused, key
            assert said(refused) == ("INVALID_ARGUMENT", "BAD_VALUE")
        assert "result" in await raw.ask("spoke.enroll", {"host": "h", "publicKey": "ab" * 32})
