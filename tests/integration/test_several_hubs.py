"""Two hubs on one database: whoever is asked, it is as if there were one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import coord
from hub.app import RunningHub, serve
from hub.duties import watching
from hub.settings import HubSettings
from hub.store import Postgres
from protocol import tokens
from protocol.aio.node import Context
from protocol.errors import (
    Cancelled,
    Conflict,
    FailedPrecondition,
    LinkLost,
    Unauthenticated,
    Unavailable,
)
from protocol.ops import catalogue as ops
from protocol.ops.catalogue import WORKTREE_INSPECT
from protocol.ops.spawning import Spawned
from protocol.ops.wire import InventoryItem
from spoke.settings import SpokeSettings
from tests.security.people import desk_of
from tests.support.hand import PATIENCE, Hand


def _settings(dsn: str, state: Path) -> HubSettings:
    return HubSettings(
        database_url=dsn, port=0, http_port=0, state=state, grace_seconds=0, heartbeat_seconds=1
    )


@contextmanager
def _none_is_silent() -> Generator[None]:
    """A spoke in a hand says nothing by itself: its hubs take it for heard, however long all takes.
    Else it could not be reached from another hub after some heartbeats."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(watching, "SILENT_BEATS", 1_000_000)
        yield


@pytest.fixture
async def hubs(hub_database: str, tmp_path: Path) -> AsyncGenerator[tuple[RunningHub, RunningHub]]:
    settings = _settings(hub_database, tmp_path)
    with _none_is_silent():
        async with serve(settings) as one, serve(settings) as two:
            await _until_they_know(one, two)
            yield one, two


@pytest.fixture
async def hand(hubs: tuple[RunningHub, RunningHub], tmp_path: Path) -> Hand:
    """A spoke that joined the first hub and answers its orders."""
    hand = Hand(SpokeSettings(state=tmp_path / "spoke"), answers=True)
    await hand.join(hubs[0])
    return hand


async def _until_they_know(*hubs: RunningHub) -> None:
    async with asyncio.timeout(PATIENCE):
        while not all(desk_of(hub).bells.is_heard_abroad for hub in hubs):
            await asyncio.sleep(0.02)


async def _client(stack: AsyncExitStack, hub: RunningHub) -> coord.Hub:
    return await stack.enter_async_context(coord.connect(hub.url, await hub.admin_token("test")))


async def _started(client: coord.Hub, hand: Hand) -> tuple[Spawned, dict[str, Any]]:
    made = await client.spawn("t", repo="/r", command="true", until="queued")
    start = await hand.next()
    assert (start["kind"], start["sessionId"]) == ("start", made.session_id)
    return made, start


async def test_an_order_reaches_a_spoke_of_another_hub(
    hubs: tuple[RunningHub, RunningHub], hand: Hand
) -> None:
    async with AsyncExitStack() as stack:
        client = await _client(stack, hubs[1])
        await stack.enter_async_context(hand.connected())
        made, start = await _started(client, hand)
        await client.message(made.session_id, "hello", wait_ms=0)
        assert (await hand.next())["body"]["text"] == "hello"
        await client.abort(made.session_id, wait=False)
        assert (await hand.next())["kind"] == "stop"
        token = start["body"]["credential"]
        for hub in hubs:
            async with coord.connect(hub.url, token) as agent:
                assert (await agent.status(made.session_id)).sessions


async def test_who_waits_at_one_hub_hears_what_the_other_was_told(
    hubs: tuple[RunningHub, RunningHub], hand: Hand
) -> None:
    async with AsyncExitStack() as stack:
        here, there = [await _client(stack, hub) for hub in hubs]
        made = await here.spawn("t", repo="/r", command="true", until="queued")
        waiting = asyncio.create_task(there.wait(made.session_id))
        reading = asyncio.create_task(_kinds(there, made.session_id))
        await here.abort(made.session_id)
        async with asyncio.timeout(PATIENCE):
            assert (await waiting).reached
            assert (await reading)[-1] == "aborted"


async def _kinds(client: coord.Hub, id: str) -> list[str]:
    return [event.kind async for event in client.events(id)]


async def test_a_question_to_a_spoke_of_another_hub_is_answered(
    hubs: tuple[RunningHub, RunningHub], hand: Hand, connections: Postgres
) -> None:
    asked: list[str] = []

    async def inspect(context: Context) -> object:
        asked.append(str(context.call.params["worktree"]))
        return {"exists": True, "dirty": True, "dirtyPaths": ["a.txt"]}

    hand.handlers[WORKTREE_INSPECT.name] = inspect
    async with AsyncExitStack() as stack:
        client = await _client(stack, hubs[1])
        await stack.enter_async_context(hand.connected())
        made, _ = await _started(client, hand)
        await _end(connections, made.session_id)
        said = await client.cleanup(made.session_id)
        assert asked == ["/w"]
        assert "uncommitted: a.txt" in said.results[0].reason
    assert await connections.pool.fetchval("SELECT count(*) FROM asks") == 0


async def _end(connections: Postgres, id: str) -> None:
    """As if it had run and ended, and left a worktree."""
    await connections.pool.execute("UPDATE mappings SET worktree = '/w', released_at = now()")
    for state in ("starting", "completed"):
        ended = state == "completed"
        await connections.pool.execute(
            "UPDATE sessions SET state = $2, finished_at = CASE WHEN $3 THEN now() END"
            " WHERE session_id = $1",
            id, state, ended,
        )  # fmt: skip


async def test_a_question_whose_asker_goes_is_taken_back(
    hubs: tuple[RunningHub, RunningHub], hand: Hand, connections: Postgres
) -> None:
    begun, aborted = asyncio.Event(), asyncio.Event()

    async def inspect(_: Context) -> object:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            aborted.set()
        raise AssertionError

    hand.handlers[WORKTREE_INSPECT.name] = inspect
    async with AsyncExitStack() as stack:
        client = await _client(stack, hubs[1])
        await stack.enter_async_context(hand.connected())
        made, _ = await _started(client, hand)
        await _end(connections, made.session_id)
        cleaning = asyncio.create_task(client.cleanup(made.session_id))
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
            cleaning.cancel()
            await asyncio.wait([cleaning])
            await aborted.wait()


async def test_a_copied_spoke_is_refused_by_every_hub(
    hubs: tuple[RunningHub, RunningHub], hand: Hand
) -> None:
    async with hand.connected():
        for hub in hubs:
            with pytest.raises(Conflict, match="SPOKE_CLONED"):
                async with hand.connected(to=hub):
                    raise AssertionError


async def test_a_spoke_that_moves_is_let_go_where_it_was(
    hubs: tuple[RunningHub, RunningHub], hand: Hand
) -> None:
    """The same daemon: it knows that its old link is gone, even if that hub does not."""
    hand.incarnation = "one"
    async with hand.connected() as first, hand.connected(to=hubs[1]) as second:
        assert second.epoch == (first.epoch or 0) + 1
        here = desk_of(hubs[0]).spokes
        async with asyncio.timeout(PATIENCE):
            while here.connected():
                await asyncio.sleep(0.02)
        assert [one.epoch for one in desk_of(hubs[1]).spokes.connected()] == [second.epoch]


async def test_a_dead_listen_is_noticed_and_everything_goes_on(
    hubs: tuple[RunningHub, RunningHub], hand: Hand, hub_database: str
) -> None:
    async with AsyncExitStack() as stack:
        client = await _client(stack, hubs[1])
        await stack.enter_async_context(hand.connected())
        db = await asyncpg.connect(hub_database)
        try:
            ended = await db.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE application_name = 'coord-hub-ear' AND datname = current_database()"
            )
        finally:
            await db.close()
        assert ended == 2
        await _started(client, hand)
        async with asyncio.timeout(PATIENCE):
            while not all(desk_of(hub).health.listening for hub in hubs):
                await asyncio.sleep(0.02)


async def test_one_hub_leads_and_the_other_follows_it(hub_database: str, tmp_path: Path) -> None:
    settings = _settings(hub_database, tmp_path)
    async with serve(settings) as second:
        async with serve(settings) as first:
            leads = [desk_of(hub).health for hub in (first, second)]
            async with asyncio.timeout(PATIENCE):
                while sum(health.leads for health in leads) != 1:
                    await asyncio.sleep(0.02)
        async with asyncio.timeout(PATIENCE):
            while not desk_of(second).health.leads:
                await asyncio.sleep(0.02)


async def test_a_spoke_that_falls_silent_is_out_of_reach_and_found_again(
    hub_database: str, tmp_path: Path
) -> None:
    settings = HubSettings(
        database_url=hub_database, port=0, http_port=0, state=tmp_path,
        grace_seconds=0, heartbeat_seconds=0.2, lease_seconds=1,
    )  # fmt: skip
    hand = Hand(SpokeSettings(state=tmp_path / "spoke"), answers=True)
    async with serve(settings) as hub, AsyncExitStack() as stack:
        await hand.join(hub)
        client = await _client(stack, hub)
        async with hand.connected():
            with _none_is_silent():
                made, start = await _started(client, hand)
            await _state(client, made.session_id, "unknown")
        held = InventoryItem(session_id=made.session_id, attempt=1, state="running", last_record=0)
        with _none_is_silent():
            async with hand.connected(start["seq"], [held]) as welcome:
                assert [one.verdict for one in welcome.verdicts] == ["continue"]
                await _state(client, made.session_id, "running")


async def _state(client: coord.Hub, id: str, state: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await client.status(id)).sessions[0].state != state:
            await asyncio.sleep(0.02)


async def test_a_drained_hub_sends_its_spokes_to_the_other(
    hubs: tuple[RunningHub, RunningHub], hand: Hand
) -> None:
    one, two = hubs
    async with AsyncExitStack() as stack:
        client = await _client(stack, two)
        listed = (await client.ask(ops.HUB_LIST, {})).hubs
        assert [hub.state for hub in listed] == ["online", "online"]
        assert sum(hub.leads for hub in listed) == 1
        assert [hub.hub for hub in listed if hub.answers] == [desk_of(two).instance]
        async with hand.connected():
            drained = await client.ask(ops.HUB_DRAIN, {"hub": desk_of(one).instance})
            assert drained.state == "draining"
            async with asyncio.timeout(PATIENCE):
                assert isinstance(await hand.parted.get(), int)
        with pytest.raises(Unavailable, match="HUB_DRAINING"):
            async with hand.connected():
                raise AssertionError
        await _until(lambda: not desk_of(two).health.others)
        async with hand.connected(to=two) as welcome:
            assert welcome.hubs == [], "a drained hub is named to nobody"
            with pytest.raises(FailedPrecondition, match="ONLY_HUB"):
                await client.ask(ops.HUB_DRAIN, {})
        await client.ask(ops.HUB_DRAIN, {"hub": desk_of(one).instance, "draining": False})
        await _until(lambda: not desk_of(one).links._takes_none and desk_of(one).health.others)
        async with hand.connected() as welcome:
            assert welcome.hubs == [two.url]


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_join_string_names_all_hubs(hubs: tuple[RunningHub, RunningHub]) -> None:
    one, two = hubs
    join = tokens.read_join(await one.join_string("x"))
    assert (join.url, join.also) == (one.url, (two.url,))


async def test_a_token_revoked_at_one_hub_is_no_longer_good_at_the_other(
    hubs: tuple[RunningHub, RunningHub],
) -> None:
    one, two = hubs
    async with AsyncExitStack() as stack:
        admin = await _client(stack, one)
        made = await admin.ask(ops.TOKEN_CREATE, {"name": "x"})
        async with coord.connect(two.url, made.token) as other:
            await other.status()
            await admin.ask(ops.TOKEN_REVOKE, {"token_id": made.token_id})
            with pytest.raises((Cancelled, Unavailable, Unauthenticated)):
                await _ask_for_ever(other)


async def _ask_for_ever(client: coord.Hub) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            await client.status()
            await asyncio.sleep(0.02)


async def test_an_agent_whose_attempt_is_over_changes_nothing_at_any_hub(
    hubs: tuple[RunningHub, RunningHub], hand: Hand, connections: Postgres
) -> None:
    async with AsyncExitStack() as stack:
        client = await _client(stack, hubs[0])
        await stack.enter_async_context(hand.connected())
        _, start = await _started(client, hand)
        async with coord.connect(hubs[1].url, start["body"]["credential"]) as agent:
            await agent.notify("I am here")
            await connections.pool.execute("UPDATE mappings SET released_at = now()")
            with pytest.raises((Cancelled, LinkLost)):
                await agent.notify("and still here")
