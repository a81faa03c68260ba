"""Without a credential that is known here, all are refused in the same words, and slowed down."""

from __future__ import annotations

import pytest

import coord
from hub.app import RunningHub
from hub.door.gate import FAILURES
from hub.store import Access
from hub.store.rows.access import TokenRow
from protocol import tokens
from protocol.limits import RPC_PATH
from protocol.tokens import Kind
from tests.security import people
from tests.security.people import Watch, authorization
from tests.security.raw import Answered, knock


def strangers() -> dict[str, list[str | bytes]]:
    good, other = tokens.new(Kind.USER), tokens.new(Kind.USER)
    return {
        "none": [],
        "empty": ["Authorization:"],
        "the word alone": ["Authorization: Bearer"],
        "the word and a space": ["Authorization: Bearer "],
        "no word": [f"Authorization: {good}"],
        "two": [authorization(good), authorization(other)],
        "Basic": ["Authorization: Basic YWRtaW46YWRtaW4="],
        "spaces in it": [authorization(f"{good[:20]} {good[20:]}")],
        "two spaces before it": [f"Authorization: Bearer  {good}"],
        "another case of the word": [f"Authorization: bearer {good}"],
        "bytes that are no ASCII": [b"Authorization: Bearer cku_\xff\xfe"],
        "unknown, with a right checksum": [authorization(good)],
        "unknown, of a session": [authorization(tokens.new(Kind.SESSION))],
        "unknown, of a spoke to be": [authorization(tokens.new(Kind.JOIN))],
        "a login code": [authorization(tokens.new(Kind.LOGIN))],
        "one character changed": [authorization(good[:-1] + ("0" if good[-1] != "0" else "1"))],
        "an SQL fragment": [authorization("' OR 1=1 --")],
        "a cookie": ["Cookie: coord=ckw_x"],
        "in a protocol": [f"Sec-WebSocket-Protocol: {good}"],
        "a proxy's": [f"Proxy-Authorization: Bearer {good}"],
        "a spoke's without anything": ["Authorization: Coord-Spoke "],
        "a spoke's with rubbish": ["Authorization: Coord-Spoke spoke=,nonce==,,signature"],
        "a spoke's with a nonce of nobody": [
            f"Authorization: Coord-Spoke spoke=sp_x,nonce={'0' * 60},signature=00"
        ],
    }


async def test_a1_a2_strangers_are_all_told_the_same_before_the_upgrade(
    running_hub: RunningHub, watch: Watch
) -> None:
    answers: dict[str, Answered] = {}
    for name, headers in strangers().items():
        people.forgive(running_hub)
        answers[name] = await knock(running_hub.url, headers)
    assert {answer.status for answer in answers.values()} == {401}, answers
    assert len({answer.body for answer in answers.values()}) == 1, "and nothing tells them apart"
    assert all("www-authenticate: bearer" in a.head.lower() for a in answers.values())


async def test_a1_a_token_of_100_kb_is_not_even_read(running_hub: RunningHub, watch: Watch) -> None:
    assert (await knock(running_hub.url, [authorization("t" * 100_000)])).status == 431
    assert (await knock(running_hub.url, [f"X-{n}: y" for n in range(200)])).status == 431
    assert (await knock(running_hub.url, path="/" + "p" * 10_000)).status == 414


async def test_a1_what_is_no_request_is_no_crash(running_hub: RunningHub, watch: Watch) -> None:
    token = tokens.new(Kind.USER)
    watch.secrets.append(token)
    for headers, path in (
        ([authorization(token + "\x01")], RPC_PATH),
        ([f"Bad Name: {token}"], RPC_PATH),
        ([token], RPC_PATH),
        ([authorization(token)], f"/v1/{token} /x"),
        ([authorization(token)], "//[" + RPC_PATH),
        (["Origin: http://a", "Origin: http://b", authorization(token)], RPC_PATH),
        (["Content-Length: 5", authorization(token)], RPC_PATH),
        (["Transfer-Encoding: chunked", authorization(token)], RPC_PATH),
    ):
        people.forgive(running_hub)
        assert (await knock(running_hub.url, headers, path)).status in (0, 400, 403, 404)
        await watch.check()
    for method in ("POST", "HEAD", "CONNECT", "get"):
        answer = await knock(running_hub.url, [authorization(token)], method=method)
        assert answer.status in (0, 400, 401, 405)


async def test_a1_a_right_token_needs_the_right_upgrade(
    running_hub: RunningHub, watch: Watch
) -> None:
    token = (await people.user(running_hub, "viewer")).token
    watch.secrets.append(token)
    other = await knock(running_hub.url, [authorization(token), "Sec-WebSocket-Version: 8"])
    assert other.status in (400, 426)
    assert token.encode() not in other.body


async def test_a2_what_has_no_right_checksum_never_reaches_the_database(
    running_hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    find = Access.find

    async def spy(self: Access, text: str) -> TokenRow | None:
        asked.append(text)
        return await find(self, text)

    monkeypatch.setattr(Access, "find", spy)
    right = tokens.new(Kind.USER)
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    for token in (wrong, right[:-1], right + "0", right.upper(), f"{right}\u00e9"):
        assert (await knock(running_hub.url, [authorization(token)])).status == 401
    assert asked == []
    assert (await knock(running_hub.url, [authorization(right)])).status == 401
    assert asked == [right]


async def test_a3_a_token_in_the_url_is_refused_and_not_written_down(
    running_hub: RunningHub, watch: Watch, hub_database: str
) -> None:
    good = (await people.user(running_hub, "admin")).token
    watch.secrets.append(good)
    for query in (f"?token={good}", f"?access_token={good}&x=1", f"?{good}", "?x"):
        for headers in ([], [authorization(good)]):
            answer = await knock(running_hub.url, headers, RPC_PATH + query)
            assert (answer.status, answer.reason()) == (400, "TOKEN_IN_URL")
            assert good.encode() not in answer.body
    assert await people.audited(hub_database, "TOKEN_IN_URL") > 0
    assert good not in str(await people.dump(hub_database))
    for path in (f"/{good}", f"/v1/nonce?token={good}", f"/v1/rpc/{good}"):
        answer = await knock(running_hub.url, [], path)
        assert (answer.status, answer.reason()) == (404, "NOT_FOUND")


async def test_a_browser_is_not_spoken_to(running_hub: RunningHub, hub_database: str) -> None:
    good = (await people.user(running_hub, "admin")).token
    for origin in ("http://evil", "null", running_hub.http_url, "http://127.0.0.1", ""):
        answer = await knock(running_hub.url, [authorization(good), f"Origin: {origin}"])
        assert (answer.status, answer.reason()) == (403, "ORIGIN")
    assert await people.audited(hub_database, "ORIGIN") == 5


async def test_a6_guessing_is_slowed_down_whatever_a_proxy_is_said_to_say(
    running_hub: RunningHub, watch: Watch, hub_database: str
) -> None:
    statuses: list[int] = []
    for n in range(2 * FAILURES):
        headers = [authorization(tokens.new(Kind.USER)), f"X-Forwarded-For: 6.6.6.{n}"]
        answer = await knock(running_hub.url, [*headers, f"Forwarded: for=6.6.6.{n}"])
        statuses.append(answer.status)
    assert statuses == [401] * FAILURES + [429] * FAILURES
    assert answer.reason() == "RATE_LIMITED"
    assert "retry-after:" in answer.head.lower()
    assert await people.audited(hub_database, "UNAUTHENTICATED") == FAILURES, "and no more"
    rows = await people.select(hub_database, "SELECT DISTINCT peer FROM coord.audit")
    assert {row["peer"] for row in rows} <= {"127.0.0.1", None}
    good = (await people.user(running_hub, "viewer")).token
    async with coord.connect(running_hub.url, good):
        pass  # whoever has a good one is let in from there all the same
