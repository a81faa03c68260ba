"""Older and newer spokes and hubs on one database: what the wire of version 1 carries, works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

import coord
from hub.embedded.cluster import Endpoint
from protocol.limits import OLDEST_VERSION, PROTOCOL_VERSION
from tests.support.agents import COUNT, WAIT, check_count
from tests.support.postgres import fresh_database
from tests.support.town import Town, town
from tests.support.world import ended, lines, story

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTEN = 'while read -r x; do [ "$x" = end ] && exit 0; echo "heard $x"; done'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(
    postgres_server: Endpoint, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Town]:
    """A new hub with an old spoke, and an old hub with a new one."""
    assert OLDEST_VERSION < PROTOCOL_VERSION
    async with (
        fresh_database(postgres_server, template=migrated) as dsn,
        town(tmp_path_factory.mktemp("town"), dsn) as made,
    ):
        await made.add_hub(protocol=OLDEST_VERSION)
        await made.add_spoke("old", hub=0, protocol=OLDEST_VERSION)
        await made.add_spoke("new", hub=1)
        yield made


@pytest.mark.parametrize("spoke", ["old", "new"])
@pytest.mark.parametrize("asked", [0, 1], ids=["new-hub", "old-hub"])
async def test_fault_34_old_and_new_mixed(here: Town, repo: str, asked: int, spoke: str) -> None:
    """Spawn, events, messages, abort, and a link that is lost: at each hub, for each spoke."""
    async with here.client(asked) as hub:
        work = {"repo": repo, "spoke": spoke, "command": "sh"}
        counting = await hub.spawn("counts", args=["-c", COUNT], **work)
        listening = await hub.spawn("listens", args=["-c", LISTEN], **work)
        waiting = await hub.spawn("waits", args=["-c", WAIT], **work)
        for word in ("one", "two", "end"):
            await hub.message(listening.session_id, word)
        receipt = await hub.abort(waiting.session_id)
        assert receipt.complete
        epochs = await here.epochs(spoke)
        here.ways[spoke].cut()
        await here.moved_on(epochs)
        await _speaks(hub, counting.session_id)
        (Path(str(counting.worktree)) / "stop").touch()
        for session in await ended(hub, counting.session_id, listening.session_id):
            assert (session.state, session.attempt) == ("completed", 1)
        check_count(lines(await story(hub, counting.session_id)))
        assert lines(await story(hub, listening.session_id)) == ["heard one", "heard two"]
    await here.settled()


async def _speaks(hub: coord.Hub, id: str) -> None:
    known = (await story(hub, id))[-1].seq
    async with asyncio.timeout(60):
        async for event in hub.events(id, after=known):
            if event.kind == "stdout":
                return
