"""Programs whose links break, against a real hub: nothing missed, nothing twice, nobody delayed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

import coord
from coord import line
from hub.app import RunningHub
from hub.door import peers
from hub.store import Store
from protocol.aio.dial import address, connected
from protocol.aio.greeting import greet
from protocol.aio.wire import WebsocketWire
from protocol.errors import FailedPrecondition, LinkLost
from protocol.frames import Call, CallId, write
from protocol.handshake import Hello, Resume, Welcome
from protocol.limits import MAX_FRAME_BYTES, PROTOCOL_VERSION, STREAM_HIGH_WATER_BYTES
from tests.security import people
from tests.support import rows
from tests.support.rows import record

EVENTS, BATCH = 50_000, 500


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """These links are cut on purpose, one time after the other."""
    monkeypatch.setattr(line, "STEADY_SECONDS", 0.0)


def cut(hub: RunningHub, client: coord.Hub, *, at_the_hub: bool) -> None:
    if at_the_hub:
        for peer in people.desk_of(hub).links.peers:
            if peer.connection_id == client.welcome.connection_id:
                peer.websocket.transport.abort()
    elif client._line.link is not None:
        client._line._wires[client._line.link].cut()


async def story(client: coord.Hub, session: str, count: int) -> list[int]:
    """The numbers of the lines, as many as there will be."""
    found: list[int] = []
    async for event in client.events(session):
        if event.kind == "stdout":
            found.append(int(str(event.body["text"])))
            if len(found) == count:
                break
    return found


@asynccontextmanager
async def deaf(hub: RunningHub, token: str, session: str) -> AsyncGenerator[Welcome]:
    """A subscriber that never reads, nor acknowledges."""
    websocket = await connected(address(hub.url), f"Bearer {token}")
    wire = WebsocketWire(websocket)
    try:
        welcome = await greet(wire, hello(resumable=True))
        await wire.send([write(Call(CallId("e"), "coord.events", {"sessionId": session}))])
        yield welcome
    finally:
        websocket.transport.abort()


def hello(*, resumable: bool = False, resume: Resume | None = None) -> Hello:
    return Hello(
        protocol_version=PROTOCOL_VERSION, role="client", resumable=resumable, resume=resume
    )


async def test_cut_a_hundred_times_while_50_000_events_flow(
    running_hub: RunningHub, client: coord.Hub, store: Store
) -> None:
    spoke, at = await rows.spoke(store)
    session = (await rows.spawn(store)).session_id
    attempt = await rows.run(store, spoke, at.epoch, session)
    desk = people.desk_of(running_hub)
    token = await running_hub.admin_token("others")
    chance = random.Random(1)
    most = 0
    async with (
        coord.connect(running_hub.url, token) as whole,
        deaf(running_hub, token, session) as never,
        asyncio.TaskGroup() as group,
    ):
        reading = group.create_task(story(client, session, EVENTS))
        beside = group.create_task(story(whole, session, EVENTS))
        [quiet] = [
            peer.link for peer in desk.links.peers if peer.connection_id == never.connection_id
        ]
        for first in range(0, EVENTS, BATCH):
            lines = [record("stdout", text=f"{n}") for n in range(first, first + BATCH)]
            await store.exchange.append(spoke, at.epoch, session, attempt, 3 + first, lines)
            desk.bells.ring(session)
            cut(running_hub, client, at_the_hub=chance.random() < 0.5)
            most = max(most, desk.links.node.lines[quiet].ledger.size)
        assert await reading == list(range(EVENTS)), "exactly these, in order"
        assert await beside == list(range(EVENTS)), "others lose nothing"
    bound = STREAM_HIGH_WATER_BYTES + MAX_FRAME_BYTES
    print(f"a reader who never reads held {most:,} bytes of {bound:,}")
    assert 0 < most <= bound


async def test_a_connection_is_taken_up_by_its_own_principal_alone(
    running_hub: RunningHub,
) -> None:
    owner, thief = [await running_hub.admin_token(name) for name in ("owner", "thief")]

    @asynccontextmanager
    async def wire(token: str) -> AsyncIterator[WebsocketWire]:
        websocket = await connected(address(running_hub.url), f"Bearer {token}")
        yield WebsocketWire(websocket)
        websocket.transport.abort()

    async with wire(owner) as first:
        mine = await greet(first, hello(resumable=True))
    assert mine.resume_token and mine.grace_ms == 30_000 and not mine.resumed
    good = Resume(connection_id=mine.connection_id, token=mine.resume_token, heard=0)
    for token, resume in (
        (thief, good),
        (owner, good.model_copy(update={"token": "guessed"})),
        (owner, good.model_copy(update={"connection_id": "unknown"})),
        (owner, good.model_copy(update={"heard": 7})),
    ):
        async with wire(token) as other:
            with pytest.raises(FailedPrecondition, match="RESUME_EXPIRED"):
                await greet(other, hello(resume=resume))
            assert not (await greet(other, hello())).resumed, "and the wire is good for a new one"
    for _ in range(2):
        async with wire(owner) as again:
            welcome = await greet(again, hello(resume=good))
            assert welcome.resumed and welcome.connection_id == mine.connection_id
            assert welcome.resume_token == mine.resume_token


async def test_open_calls_survive_a_cut_and_are_given_up_after_the_grace(
    running_hub: RunningHub, client: coord.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await people.queued(people.store_of(running_hub))
    desk = people.desk_of(running_hub)
    waiting = asyncio.create_task(client.wait(session))
    await until(lambda: len(desk.links.node.in_flight()) == 1)
    before = desk.links.node.in_flight()
    cut(running_hub, client, at_the_hub=True)
    await client.status(session)
    assert desk.links.node.in_flight() == before, "the same call, not another one"
    await client.abort(session)
    assert (await waiting).reached
    monkeypatch.setattr(peers, "GRACE_SECONDS", 0.05)
    async with deaf(running_hub, await running_hub.admin_token("deaf"), session):
        await until(lambda: desk.links.count() == 2)
    await until(lambda: desk.links.count() == 1)
    await until(lambda: not desk.links.node.in_flight())  # once its handler has noticed


async def test_a_program_that_leaves_is_not_waited_for(running_hub: RunningHub) -> None:
    desk = people.desk_of(running_hub)
    async with coord.connect(running_hub.url, await running_hub.admin_token("brief")) as client:
        await client.status()
        assert desk.links.count() == 1
    await until(lambda: desk.links.count() == 0)


async def test_a_revoked_token_does_not_resume(running_hub: RunningHub, client: coord.Hub) -> None:
    made = await client.call("token.create", {"name": "gone", "role": "operator"})
    assert isinstance(made, dict)
    async with coord.connect(running_hub.url, str(made["token"])) as other:
        waiting = asyncio.create_task(other.wait(await people.queued(people.store_of(running_hub))))
        await until(lambda: people.desk_of(running_hub).links.node.in_flight())
        await client.call("token.revoke", {"tokenId": made["tokenId"]})
        with pytest.raises((coord.Cancelled, coord.Unauthenticated, LinkLost)):
            await waiting
        with pytest.raises((coord.Unauthenticated, LinkLost)):
            await other.status()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)
