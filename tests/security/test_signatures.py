"""Who a spoke is: what it signed opens once, and nobody comes as what they are not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest

from hub.app import RunningHub
from hub.door.gate import NONCE_SECONDS
from protocol import tokens
from protocol.tokens import Kind
from tests.security import people
from tests.security.people import Watch
from tests.security.raw import Raw, dialled, entered, frame, knock, said


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


async def test_a9_nobody_comes_as_what_they_are_not(
    running_hub: RunningHub, watch: Watch, hub_database: str
) -> None:
    one, other = await people.spoke(running_hub), await people.spoke(running_hub, "gpu-2")
    user = (await people.user(running_hub, "admin")).token
    async with people.online(running_hub, other) as link:
        queued = await people.queued(people.store_of(running_hub))
        session = await people.taken(running_hub, link, other.id, queued)
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
        await asyncio.wait([answering])


async def answer_pings(raw: Raw) -> None:
    while (heard := await raw.hear()) is not None:
        if heard.opcode == 9:
            await raw.send(frame(10, heard.payload))
