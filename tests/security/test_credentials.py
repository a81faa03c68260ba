"""Who gets in, and how long: SECURITY.md "Authentication", A1 to A12, against a real hub."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

import coord
from hub.app import RunningHub, serve
from hub.door import links
from hub.door.gate import FAILURES, NONCE_SECONDS
from hub.settings import HubSettings
from hub.store import Access
from hub.store.rows.access import TokenRow
from protocol import tokens
from protocol.aio.dial import pin_of
from protocol.errors import CallError, Cancelled, InvalidArgument, Unauthenticated, Unavailable
from protocol.limits import RPC_PATH
from protocol.tokens import Kind
from spoke import identity
from spoke.enrollment import enroll
from spoke.identity import Identity
from spoke.settings import Places, SpokeSettings
from tests.security import people
from tests.security.people import Watch
from tests.security.raw import PATIENCE, Answered, Raw, call, dialled, entered, frame, knock, said
from tests.support.world import COORDCTL

HOUR = timedelta(hours=1)


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


async def set_token(dsn: str, token: str, change: str) -> None:
    """Change a token behind the hub's back."""
    statement = f"UPDATE coord.tokens SET {change} WHERE digest = $1"
    await people.select(dsn, statement, tokens.digest(token))


# A1, A2: no credential, or none that is known.


def strangers() -> dict[str, list[str | bytes]]:
    good, other = tokens.new(Kind.USER), tokens.new(Kind.USER)
    return {
        "none": [],
        "empty": ["Authorization:"],
        "the word alone": ["Authorization: Bearer"],
        "the word and a space": ["Authorization: Bearer "],
        "no word": [f"Authorization: {good}"],
        "two": [bearer(good), bearer(other)],
        "Basic": ["Authorization: Basic YWRtaW46YWRtaW4="],
        "spaces in it": [bearer(f"{good[:20]} {good[20:]}")],
        "two spaces before it": [f"Authorization: Bearer  {good}"],
        "another case of the word": [f"Authorization: bearer {good}"],
        "bytes that are no ASCII": [b"Authorization: Bearer cku_\xff\xfe"],
        "unknown, with a right checksum": [bearer(good)],
        "unknown, of a session": [bearer(tokens.new(Kind.SESSION))],
        "unknown, of a spoke to be": [bearer(tokens.new(Kind.JOIN))],
        "a login code": [bearer(tokens.new(Kind.LOGIN))],
        "one character changed": [bearer(good[:-1] + ("0" if good[-1] != "0" else "1"))],
        "an SQL fragment": [bearer("' OR 1=1 --")],
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
    assert (await knock(running_hub.url, [bearer("t" * 100_000)])).status == 431
    assert (await knock(running_hub.url, [f"X-{n}: y" for n in range(200)])).status == 431
    assert (await knock(running_hub.url, path="/" + "p" * 10_000)).status == 414


async def test_a1_what_is_no_request_is_no_crash(running_hub: RunningHub, watch: Watch) -> None:
    token = tokens.new(Kind.USER)
    watch.secrets.append(token)
    for headers, path in (
        ([bearer(token + "\x01")], RPC_PATH),
        ([f"Bad Name: {token}"], RPC_PATH),
        ([token], RPC_PATH),
        ([bearer(token)], f"/v1/{token} /x"),
        ([bearer(token)], "//[" + RPC_PATH),
        (["Origin: http://a", "Origin: http://b", bearer(token)], RPC_PATH),
        (["Content-Length: 5", bearer(token)], RPC_PATH),
        (["Transfer-Encoding: chunked", bearer(token)], RPC_PATH),
    ):
        people.forgive(running_hub)
        assert (await knock(running_hub.url, headers, path)).status in (0, 400, 403, 404)
        await watch.check()
    for method in ("POST", "HEAD", "CONNECT", "get"):
        answer = await knock(running_hub.url, [bearer(token)], method=method)
        assert answer.status in (0, 400, 401, 405)


async def test_a1_a_right_token_needs_the_right_upgrade(
    running_hub: RunningHub, watch: Watch
) -> None:
    token = (await people.user(running_hub, "viewer")).token
    watch.secrets.append(token)
    other = await knock(running_hub.url, [bearer(token), "Sec-WebSocket-Version: 8"])
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
        assert (await knock(running_hub.url, [bearer(token)])).status == 401
    assert asked == []
    assert (await knock(running_hub.url, [bearer(right)])).status == 401
    assert asked == [right]


async def test_a3_a_token_in_the_url_is_refused_and_not_written_down(
    running_hub: RunningHub, watch: Watch, hub_database: str
) -> None:
    good = (await people.user(running_hub, "admin")).token
    watch.secrets.append(good)
    for query in (f"?token={good}", f"?access_token={good}&x=1", f"?{good}", "?x"):
        for headers in ([], [bearer(good)]):
            answer = await knock(running_hub.url, headers, RPC_PATH + query)
            assert (answer.status, answer.reason()) == (400, "TOKEN_IN_URL")
            assert good.encode() not in answer.body
    assert await people.audited(hub_database, "TOKEN_IN_URL") > 0
    assert good not in str(await dump(hub_database))
    for path in (f"/{good}", f"/v1/nonce?token={good}", f"/v1/rpc/{good}"):
        answer = await knock(running_hub.url, [], path)
        assert (answer.status, answer.reason()) == (404, "NOT_FOUND")


async def test_a_browser_is_not_spoken_to(running_hub: RunningHub, hub_database: str) -> None:
    good = (await people.user(running_hub, "admin")).token
    for origin in ("http://evil", "null", running_hub.http_url, "http://127.0.0.1", ""):
        answer = await knock(running_hub.url, [bearer(good), f"Origin: {origin}"])
        assert (answer.status, answer.reason()) == (403, "ORIGIN")
    assert await people.audited(hub_database, "ORIGIN") == 5


# A4, A5: credentials end.


async def test_a4_the_databases_clock_decides(running_hub: RunningHub, hub_database: str) -> None:
    """It is never compared with a clock of the hub's."""
    token = (await people.user(running_hub, "admin")).token
    async with coord.connect(running_hub.url, token):
        pass
    await set_token(hub_database, token, "expires_at = now() - interval '1 second'")
    answer = await knock(running_hub.url, [bearer(token)])
    assert (answer.status, answer.reason()) == (401, "TOKEN_EXPIRED")
    await set_token(hub_database, token, "expires_at = now() + interval '1 hour'")
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
        for id in ("w", "e"):
            assert said(await one.answer(id)) == ("CANCELLED", "TOKEN_REVOKED")
        assert [await one.close_code(), await two.close_code()] == [4401, 4401]
    answer = await knock(running_hub.url, [bearer(made.token)])
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
    store = people.store_of(running_hub)
    one = await people.spoke(running_hub)
    session = await people.queued(store)
    async with people.online(running_hub, one) as link:
        token = await people.credential(store, one.id, session)
        async with entered(running_hub.url, f"Bearer {token}") as agent:
            lost = await watch.client.call("spoke.revoke", {"spoke": one.name})
            assert isinstance(lost, dict) and lost["lost"] == [session]
            assert await link.close_code() == 4403
            assert await agent.close_code() == 4401
    assert (await knock(running_hub.url, [bearer(token)])).status == 401
    answer = await knock(running_hub.url, [f"Authorization: {await one.proof(running_hub)}"])
    assert (answer.status, answer.reason()) == (403, "SPOKE_REVOKED")
    assert await people.audited(hub_database, "SPOKE_REVOKED") == 1


# A6: guessing.


async def test_a6_guessing_is_slowed_down_whatever_a_proxy_is_said_to_say(
    running_hub: RunningHub, watch: Watch, hub_database: str
) -> None:
    statuses: list[int] = []
    for n in range(2 * FAILURES):
        headers = [bearer(tokens.new(Kind.USER)), f"X-Forwarded-For: 6.6.6.{n}"]
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


# A7: join tokens.


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
    answer = await knock(running_hub.url, [bearer(token)])
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
        await set_token(hub_database, token, change)
        answer = await knock(running_hub.url, [bearer(token)])
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


# A8: what a spoke signed.


async def test_a8_a_signature_opens_once(running_hub: RunningHub, watch: Watch) -> None:
    one = await people.spoke(running_hub)
    recorded = await one.proof(running_hub)
    watch.secrets.append(recorded)
    async with entered(running_hub.url, recorded, greet=False) as raw:
        assert "result" in await raw.initialize(**one.hello())
        assert (await knock(running_hub.url, [f"Authorization: {recorded}"])).status == 401
    assert (await knock(running_hub.url, [f"Authorization: {recorded}"])).status == 401


async def test_a8_of_two_at_once_one_gets_in(running_hub: RunningHub) -> None:
    one = await people.spoke(running_hub)
    header = f"Authorization: {await one.proof(running_hub)}"
    answers = await asyncio.gather(*(knock_open(running_hub.url, header) for _ in range(5)))
    assert sorted(answers) == [101, 401, 401, 401, 401]


async def knock_open(url: str, header: str) -> int:
    async with dialled(url) as raw:
        return (await raw.upgrade([header])).status


async def test_a8_a_signature_is_for_one_hub_one_spoke_and_half_a_minute(
    running_hub: RunningHub, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, gate = running_hub.url, people.desk_of(running_hub).links._gate
    one = await people.spoke(running_hub, "gpu-1")
    two = await people.spoke(running_hub, "gpu-2")
    fresh = await people.nonce(url)
    forged = fresh[:-1] + ("0" if fresh[-1] != "0" else "1")
    id = running_hub.hub_id
    signed = one.sign(await people.nonce(url), id)
    refused: list[str | bytes] = [
        await one.proof(running_hub, hub_id="hub_other"),
        replace(one, id=two.id).sign(await people.nonce(url), id),
        replace(one, id="sp_nobody").sign(await people.nonce(url), id),
        replace(one, id="").sign(await people.nonce(url), id),
        replace(one, id="a" * 4_000).sign(await people.nonce(url), id),
        one.sign(forged, id),
        one.sign(fresh[:-1], id),
        one.sign("f" * 12 + fresh[12:], id),
        signed[:-2],
        signed[:-2] + "zz",
        signed + "00",
        signed.replace("signature", "Signature"),
        b"Coord-Spoke spoke=\xff\x80,nonce=%s,signature=00" % fresh.encode(),
        b"Coord-Spoke spoke=a'b,nonce=%s,signature=00" % fresh.encode(),
    ]
    for header in refused:
        people.forgive(running_hub)
        line = b"Authorization: " + (header if isinstance(header, bytes) else header.encode())
        assert (await knock(url, [line])).status == 401, header
    late = await one.proof(running_hub)
    clock = gate._clock
    monkeypatch.setattr(gate, "_clock", lambda: clock() + NONCE_SECONDS)
    assert (await knock(url, [f"Authorization: {late}"])).status == 401


async def test_a8_many_who_ask_for_nonces_take_nobodys_away(running_hub: RunningHub) -> None:
    one = await people.spoke(running_hub)
    kept = await people.nonce(running_hub.url)
    gate = people.desk_of(running_hub).links._gate
    assert len({gate.nonce() for _ in range(20_000)}) == 20_000
    header = f"Authorization: {one.sign(kept, running_hub.hub_id)}"
    assert await knock_open(running_hub.url, header) == 101


# A9: the wrong kind.


async def test_a9_nobody_comes_as_what_they_are_not(
    running_hub: RunningHub, watch: Watch, hub_database: str
) -> None:
    store = people.store_of(running_hub)
    one, other = await people.spoke(running_hub), await people.spoke(running_hub, "gpu-2")
    user = (await people.user(running_hub, "admin")).token
    async with people.online(running_hub, other):
        session = await people.credential(store, other.id, await people.queued(store))
        joining = await people.join_token(running_hub, "gpu-3")
        for token in (user, session, joining):
            for hello in (one.hello(), {"role": "spoke"}, {**one.hello(), "role": "client"}):
                async with entered(running_hub.url, f"Bearer {token}", greet=False) as raw:
                    refused = await raw.initialize(**hello)
                    assert said(refused) == ("PERMISSION_DENIED", "WRONG_KIND")
        for hello in ({}, {"role": "spoke"}, {**one.hello(), "role": "client"}):
            async with entered(running_hub.url, await one.proof(running_hub), greet=False) as raw:
                assert said(await raw.initialize(**hello))[1] == "WRONG_KIND"
        async with entered(running_hub.url, await one.proof(running_hub), greet=False) as raw:
            assert said(await raw.initialize(**other.hello()))[1] == "WRONG_SPOKE"
    assert await people.audited(hub_database, "WRONG_KIND") == 12
    assert await people.audited(hub_database, "WRONG_SPOKE") == 1


async def test_a9_tokens_of_others_open_no_page(running_hub: RunningHub) -> None:
    session = tokens.new(Kind.SESSION)
    joining = await people.join_token(running_hub, "gpu-1")
    async with httpx.AsyncClient(base_url=running_hub.http_url) as web:
        for token in (session, joining):
            answer = await web.get("/", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401


async def test_a_copied_spoke_is_refused_while_the_first_answers(
    running_hub: RunningHub, watch: Watch
) -> None:
    one = await people.spoke(running_hub)
    async with people.online(running_hub, one) as first:
        answering = asyncio.create_task(answer_pings(first))
        async with entered(running_hub.url, await one.proof(running_hub), greet=False) as copy:
            newcomer = one.hello(incarnation="i2")
            assert said(await copy.initialize(**newcomer)) == ("CONFLICT", "SPOKE_CLONED")
            assert await copy.close_code() == 4409
        answering.cancel()


async def answer_pings(raw: Raw) -> None:
    while (heard := await raw.hear()) is not None:
        if heard.opcode == 9:
            await raw.send(frame(10, heard.payload))


# A10: transport.


def certificate(folder: Path, *, valid: timedelta = HOUR) -> tuple[Path, Path, str]:
    """A self-signed certificate for this machine, its key, and its pin."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * HOUR)
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    made = builder.sign(key, hashes.SHA256())
    folder.mkdir(exist_ok=True)
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key_file.write_bytes(private)
    return cert_file, key_file, pin_of(made.public_bytes(Encoding.DER))


@asynccontextmanager
async def tls_server(folder: Path, **made: timedelta) -> AsyncGenerator[tuple[str, str, bytearray]]:
    """Somebody who shows a certificate and writes down what is said: address, pin, all of it."""
    cert, key, pin = certificate(folder, **made)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            heard.extend(data)
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}", pin, heard


def spoke_settings(folder: Path) -> SpokeSettings:
    folder.mkdir(exist_ok=True)
    return SpokeSettings(state=folder)


async def test_a10_over_tls_the_pin_is_all_that_is_needed(
    hub_database: str, tmp_path: Path
) -> None:
    cert, key, pin = certificate(tmp_path / "tls")
    settings = HubSettings(
        database_url=hub_database, port=0, http_port=0, state=tmp_path, tls_cert=cert, tls_key=key
    )
    async with serve(settings) as hub:
        token = await hub.admin_token("anna")
        assert hub.url.startswith("wss://") and hub.url.endswith(f"#sha256={pin}")
        async with coord.connect(hub.url, token) as client:
            invited = await client.call("spoke.invite", {"name": "gpu-1"})
            assert isinstance(invited, dict)
            join = tokens.read_join(str(invited["join"]))
            assert join.pin == pin
            made = await enroll(spoke_settings(tmp_path / "spoke"), join, None)
            assert made.name == "gpu-1"
            mine = identity.load(Places(tmp_path / "spoke"))
            proof = await identity.authorization(mine, identity.own_key(Places(tmp_path / "spoke")))
            assert mine.pin == pin and proof.startswith("Coord-Spoke ")
            with pytest.raises(Unavailable):  # no authority knows it: without the pin, nothing
                await connects(hub.url.partition("#")[0], token)
            with pytest.raises(Unauthenticated) as caught:
                await connects(f"{hub.url.partition('#')[0]}#sha256={'0' * 64}", token)
            assert caught.value.reason == "PIN_MISMATCH"


async def connects(url: str, token: str) -> None:
    async with coord.connect(url, token):
        pass


async def test_a10_to_another_key_than_the_pinned_one_nothing_is_said(tmp_path: Path) -> None:
    token = tokens.new(Kind.USER)
    join = tokens.new(Kind.JOIN)
    async with tls_server(tmp_path / "fake") as (url, pin, heard):
        for wrong in ("0" * 64, pin[:-1] + ("0" if pin[-1] != "0" else "1"), "", "nonsense"):
            with pytest.raises(CallError) as caught:
                await connects(f"{url}#sha256={wrong}", token)
            if wrong:
                assert caught.value.reason == "PIN_MISMATCH"
        with pytest.raises(Unauthenticated) as caught:
            await enroll(spoke_settings(tmp_path / "s"), tokens.Join(url, join, "0" * 64), None)
        assert caught.value.reason == "PIN_MISMATCH"
        mine = Identity("sp_1", "hub_1", "gpu-1", url, "0" * 64)
        with pytest.raises(Unauthenticated) as caught:
            await identity.authorization(mine, identity.own_key(Places(tmp_path / "s")))
        assert caught.value.reason == "PIN_MISMATCH"
    assert bytes(heard) == b"", "not a byte behind the handshake"


async def test_a10_an_expired_certificate_is_none(tmp_path: Path) -> None:
    async with tls_server(tmp_path / "old", valid=-HOUR) as (url, pin, heard):
        with pytest.raises(Unavailable):
            await connects(f"{url}#sha256={pin}", tokens.new(Kind.USER))
    assert bytes(heard) == b""


@pytest.mark.parametrize(
    "url",
    [
        "ws://hub.example.org:7443", "ws://192.0.2.1:7443", "ws://localhost.example.org",
        "ws://127.0.0.1.example.org", "ws://0.0.0.0:1", "ws://[2001:db8::1]:1",
    ],
)  # fmt: skip
async def test_a10_no_token_in_plain_text_off_this_machine(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await connects(url, tokens.new(Kind.USER))
    assert caught.value.reason == "INSECURE_TRANSPORT"
    with pytest.raises(InvalidArgument) as caught:
        await enroll(spoke_settings(tmp_path), tokens.Join(url, tokens.new(Kind.JOIN)), None)
    assert caught.value.reason == "INSECURE_TRANSPORT"


async def test_a10_a_hub_speaks_nothing_older_than_tls_1_3(
    hub_database: str, tmp_path: Path
) -> None:
    cert, key, _ = certificate(tmp_path / "tls")
    settings = HubSettings(
        database_url=hub_database, port=0, http_port=0, state=tmp_path, tls_cert=cert, tls_key=key
    )
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serve(settings) as hub:
        for url in (hub.url, hub.http_url):
            parts = urlsplit(url)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(parts.hostname, parts.port, ssl=old)


# A11: who can reach it from outside, reaches it over TLS.


@pytest.mark.parametrize(
    "open_to_all",
    [
        {"host": "0.0.0.0"}, {"host": "::"}, {"http_host": "0.0.0.0"}, {"host": "192.0.2.1"},
        {"host": "hub.example.org"},
    ],
)  # fmt: skip
def test_a11_plain_text_to_the_world_is_refused(open_to_all: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        HubSettings(database_url="postgresql:///x", state=Path("/x"), **open_to_all)
    assert caught.value.reason == "INSECURE_BIND"


@pytest.mark.parametrize("half", ["tls_cert", "tls_key"])
def test_a11_half_of_tls_is_none(half: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        HubSettings(database_url="postgresql:///x", state=Path("/x"), **{half: Path("/x.pem")})
    assert caught.value.reason == "BAD_TLS"


@pytest.mark.parametrize("command", [["up"], ["hub", "serve", "--database-url", "postgresql:///x"]])
async def test_a11_on_the_command_line(command: list[str], tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    with socket.socket() as taken:  # whoever tried to listen there would say that it cannot
        taken.bind(("0.0.0.0", 0))
        process = await asyncio.create_subprocess_exec(
            COORDCTL, *command, "--host", "0.0.0.0", "--port", str(taken.getsockname()[1]),
            env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, error = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2, error
    assert b"INSECURE_BIND" in error or b"no TLS" in error


# A12: what is written down.


async def dump(dsn: str) -> list[str]:
    """Every row of every table, as text."""
    tables = await people.select(
        dsn,
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')",
    )
    assert len(tables) > 10
    found: list[str] = []
    for table in tables:
        found += [row[0] for row in await people.select(dsn, f"SELECT t::text FROM {table[0]} t")]
    return found


async def test_a12_no_credential_is_in_the_database_or_the_log_or_a_file(
    running_hub: RunningHub, watch: Watch, hub_database: str, tmp_path: Path
) -> None:
    """A whole life: users, a spoke that joins, a session with its token, a page session."""
    secrets = [(await people.user(running_hub, role)).token for role in ("viewer", "admin")]
    one = await people.spoke(running_hub)
    invited = await watch.client.call("spoke.invite", {"name": "gpu-9"})
    assert isinstance(invited, dict)
    proof = await one.proof(running_hub)
    secrets += [tokens.read_join(str(invited["join"])).token, proof, proof[-128:]]
    secrets.append(one.key.private_bytes_raw().hex())
    async with entered(running_hub.url, proof, greet=False) as link:
        welcome = await link.initialize(**one.hello())
        spawned = await watch.client.spawn(
            "t", repo="/r", command="c", until="queued", spoke=one.name
        )
        order = await link.read()
        secrets.append(order["params"]["orders"][0]["body"]["credential"])
        seq = order["params"]["orders"][0]["seq"]
        await link.say({"jsonrpc": "2.0", "id": order["id"], "result": {"accepted": seq}})
        async with coord.connect(running_hub.url, secrets[-1]) as agent:
            await agent.notify("here I am")
        given = {
            "epoch": welcome["result"]["epoch"], "sessionId": spawned.session_id, "attempt": 1,
            "first": 1, "records": [[1, "running", {}], [2, "stdout", "hello"]],
        }  # fmt: skip
        assert (await link.ask("session.append", given))["result"]["verdict"] == "ok"
    ticket = await watch.client.call("hub.ticket", {})
    assert isinstance(ticket, dict)
    secrets.append(str(ticket["url"]).partition("=")[2])
    async with httpx.AsyncClient(base_url=running_hub.http_url) as web:
        headers = {"X-Coord": "1", "Origin": running_hub.http_url}
        answer = await web.post("/login", json={"code": secrets[-1]}, headers=headers)
        secrets.append(answer.cookies["coord"])
        assert (await web.get("/")).status_code == 200
    watch.secrets.extend(secrets)
    assert len(secrets) == len(set(secrets)) and all(len(secret) > 40 for secret in secrets)
    written = "\n".join(await dump(hub_database))
    assert spawned.session_id in written, "it is a dump of all that happened"
    for secret in [*secrets, *watch.secrets]:
        assert secret not in written
        assert secret.encode().hex() not in written, "nor as bytes"
        assert secret[8:40] not in written, "nor the better part of it"
        assert secret.encode() not in people.written_in(tmp_path)


def test_a12_debugging_a_library_does_not_write_headers(running_hub: RunningHub) -> None:
    for name in ("websockets", "websockets.server", "uvicorn", "uvicorn.error", "asyncio"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
