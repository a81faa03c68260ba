"""Who sends without end, or takes nothing, hurts nobody but themselves."""

from __future__ import annotations

import asyncio

import pytest

from hub.app import RunningHub
from protocol.aio import carrier
from protocol.aio import node as nodes
from protocol.switchboard import LinkId
from tests.security import people
from tests.security.people import Watch
from tests.security.raw import CLOSE, PATIENCE, PING, PONG, TEXT, Raw, call, entered, frame, text
from tests.support import rows
from tests.support.rows import record


async def test_f12_who_takes_nothing_is_cut_and_misses_nothing(
    running_hub: RunningHub, bearer: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "STALLED_SECONDS", 1.0)
    store = people.store_of(running_hub)
    spoke, at = await rows.spoke(store)
    session = await people.queued(store)
    attempt = await rows.run(store, spoke, at.epoch, session)
    for batch in range(20):
        lines = [record("stdout", text=f"{batch * 10 + n} {'x' * 50_000}") for n in range(10)]
        first = 3 + batch * 10
        await store.exchange.append(spoke, at.epoch, session, attempt, first, lines)
    hub_links = people.desk_of(running_hub).links
    async with entered(running_hub.url, bearer, buffer=4_096) as raw:
        [mallory] = [p.link for p in hub_links.peers if p.principal.name == "mallory"]
        node = hub_links.node
        await raw.say(call("e", "coord.events", {"sessionId": session}))
        queued = await most_queued(node, mallory, watch)
        assert queued < 4 << 20, "what is not taken is not piled up"
    seen = [
        int(str(event.body["text"]).split()[0])
        async for event in watch.client.events(session, follow=False)
        if event.kind == "stdout"
    ]
    assert seen == list(range(200)), "all of it is there for whoever comes back"


async def most_queued(node: nodes.Node, link: LinkId, watch: Watch) -> int:
    """The most that was ever queued on a link, until it is gone; the innocent asks on."""
    most = 0
    async with asyncio.timeout(PATIENCE):
        while node.attached(link):
            most = max(most, node.lines[link].ledger.size)
            await watch.client.call("coord.status", {"limit": 1})
    return most


async def test_f12_an_old_reader_goes_on_where_it_was(
    running_hub: RunningHub, bearer: str, session: str, watch: Watch
) -> None:
    for n in range(20):
        await watch.client.notify(f"{n}", session_id=session)
    async with entered(running_hub.url, bearer) as raw:
        await raw.say(call("e", "coord.events", {"sessionId": session}))
        first = (await raw.read())["params"]["value"]["events"]
    after = first[9]["seq"]
    async with entered(running_hub.url, bearer) as raw:
        given = {"sessionId": session, "after": after, "follow": False}
        await raw.say(call("e", "coord.events", given))
        second = (await raw.read())["params"]["value"]["events"]
    seqs = [event["seq"] for event in first[:10] + second]
    assert seqs == list(range(1, 22))


FLOOD = 50_000
NOTICE = text({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "x"}})
CALL = text(call("x", "no.such"))
FLOODS: dict[str, tuple[bytes, int | None]] = {
    "junk": (text("x"), 4429),
    "cancels of nothing": (NOTICE, 4429),
    "notices that nobody listens to": (text({"jsonrpc": "2.0", "method": "a.b"}), 4429),
    "pings": (frame(PING, b"x"), None),
    "pongs": (frame(PONG, b"x"), None),
    "calls of nothing": (CALL, None),
}


@pytest.mark.parametrize(("one", "code"), FLOODS.values(), ids=FLOODS.keys())
async def test_f13_a_flood_hurts_only_whoever_makes_it(
    running_hub: RunningHub, bearer: str, watch: Watch, one: bytes, code: int | None
) -> None:
    """The innocent is answered while it comes; a flood of work is work, and is answered too."""
    async with entered(running_hub.url, bearer) as raw:
        flood = asyncio.create_task(raw.send(one * FLOOD))
        reading = asyncio.create_task(_read_all(raw))
        for _ in range(20):
            await asyncio.wait_for(watch.client.call("coord.status", {"limit": 1}), PATIENCE)
        async with asyncio.timeout(60):
            await flood
            if code is None:
                await raw.say(call("last", "coord.status", {"limit": 1}))
            assert await reading == (code or "last")


async def _read_all(raw: Raw) -> int | str | None:
    """How it ended: the code that it was closed with, or the answer to the last call."""
    while (heard := await raw.hear()) is not None:
        if heard.opcode == CLOSE:
            return heard.code
        if heard.opcode == TEXT and b'"id":"last"' in heard.payload:
            return "last"
    return None


async def test_f13_asking_without_reading_ends(
    running_hub: RunningHub, bearer: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "STALLED_SECONDS", 1.0)
    hub_links = people.desk_of(running_hub).links
    async with entered(running_hub.url, bearer, buffer=4_096) as raw:
        [mallory] = [p.link for p in hub_links.peers if p.principal.name == "mallory"]
        calls = b"".join(text(call(f"x{n}", "rpc.discover")) for n in range(250))
        flood = asyncio.create_task(raw.send(calls))
        queued = await most_queued(hub_links.node, mallory, watch)
        await flood
    assert queued < 80 << 20
