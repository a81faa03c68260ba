"""The database is away for a while: links stay, reads say that they are old, nobody is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

import coord
from hub.app import serve
from hub.embedded.cluster import Endpoint
from hub.memory import SESSIONS, Memory
from hub.settings import HubSettings
from protocol.errors import NotFound, Unavailable
from protocol.ops import catalogue as ops
from protocol.ops.sessions import SessionView, StatusParams
from spoke.settings import SpokeSettings
from tests.security.people import desk_of
from tests.support.fake_hub import session
from tests.support.hand import PATIENCE, Hand
from tests.support.postgres import database_name

LEASE = 1.0
AWAY = Unavailable("DATABASE_UNREACHABLE", "it is away")


@asynccontextmanager
async def away(server: Endpoint, dsn: str) -> AsyncGenerator[None]:
    """No connection to this database lives, and none is let in."""
    name, over = database_name(dsn), asyncio.Event()
    db = await asyncpg.connect(server.dsn_of("postgres"))
    try:
        await db.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        ending = asyncio.create_task(_end_all(db, name, over))
        try:
            yield
        finally:
            over.set()
            await ending
    finally:
        await db.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await db.close()


async def _end_all(db: asyncpg.Connection[asyncpg.Record], name: str, over: asyncio.Event) -> None:
    """Also one that was half in when the door was shut, and is seen by nobody before it is in."""
    while not over.is_set():
        await db.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), 0.05)


async def test_a_hub_serves_its_links_while_the_database_is_away(
    hub_database: str, postgres_server: Endpoint, tmp_path: Path
) -> None:
    settings = HubSettings(
        database_url=hub_database, port=0, http_port=0, state=tmp_path,
        heartbeat_seconds=0.2, lease_seconds=LEASE,
    )  # fmt: skip
    hand = Hand(SpokeSettings(state=tmp_path / "spoke"), answers=True)
    async with serve(settings) as hub:
        await hand.join(hub)
        async with (
            coord.connect(hub.url, await hub.admin_token("test")) as client,
            hand.connected() as welcome,
        ):
            made = await client.spawn("t", repo="/r", command="true", until="queued")
            await hand.next()
            before = await client.status(made.session_id)
            assert not before.stale
            assert not (await client.ask(ops.SPOKE_LIST, {})).stale
            async with away(postgres_server, hub_database):
                await _until_away(hub)
                for _ in range(int(2 * LEASE / 0.1)):  # longer than a lease lasts
                    await hand.beat(welcome)
                    await asyncio.sleep(0.1)
                said = await client.status(made.session_id)
                assert (said.stale, said.sessions) == (True, before.sessions)
                assert said.stale_since is not None
                spokes = await client.ask(ops.SPOKE_LIST, {})
                assert [(spokes.stale, one.state) for one in spokes.spokes] == [(True, "online")]
                with pytest.raises(Unavailable) as refused:
                    await client.spawn("u", repo="/r", command="true", until="queued")
                assert refused.value.retryable
                with pytest.raises(Unavailable):
                    await client.status("ses_nobody")
            async with asyncio.timeout(PATIENCE):
                while (found := await _status(client, made.session_id)) is None:
                    await hand.beat(welcome)
                    await asyncio.sleep(0.05)
            assert found.state == "assigned"
            kinds = [event.kind async for event in client.events(made.session_id, follow=False)]
            assert "unknown" not in kinds
            assert desk_of(hub).spokes.connected(), "its link was never cut"
            with pytest.raises(NotFound):
                await client.status("ses_nobody")


async def _until_away(hub: object) -> None:
    async with asyncio.timeout(PATIENCE):
        while desk_of(hub).health.away_since is None:  # type: ignore[arg-type]
            await asyncio.sleep(0.02)


async def _status(client: coord.Hub, id: str) -> SessionView | None:
    """None while it is not fresh."""
    try:
        said = await client.status(id)
    except Unavailable:
        return None
    return None if said.stale else said.sessions[0]


def _view(id: str, **more: str) -> SessionView:
    return SessionView.model_validate({**session(id), **more})


def test_what_was_never_seen_is_not_made_up() -> None:
    memory = Memory()
    with pytest.raises(Unavailable):
        memory.spokes(None, set(), AWAY)
    for params in (StatusParams(session_id="s"), StatusParams(ref="s"), StatusParams(tree="s")):
        with pytest.raises(Unavailable):
            memory.status(params, AWAY)
    assert memory.status(StatusParams(), AWAY).sessions == []


def test_what_is_remembered_is_chosen_as_the_database_would() -> None:
    memory = Memory()
    memory.keep([_view("s1", task="a"), _view("s2", task="b", state="completed")])
    memory.keep([_view("s1", task="a", state="completed"), _view("s3", task="c")])

    def ids(params: StatusParams) -> list[str]:
        return [one.session_id for one in memory.status(params, AWAY).sessions]

    assert ids(StatusParams(live=True)) == ["s3"]
    assert sorted(ids(StatusParams(live=False))) == ["s1", "s2"]
    assert ids(StatusParams(ref="b")) == ["s2"]
    assert ids(StatusParams(session_id="s1")) == ["s1"]
    assert ids(StatusParams(limit=1)) == ["s3"]


def test_what_was_seen_last_is_remembered() -> None:
    memory = Memory()
    memory.keep(_view(f"s{n}") for n in range(SESSIONS + 1))
    memory.status(StatusParams(session_id=f"s{SESSIONS}"), AWAY)
    with pytest.raises(Unavailable):
        memory.status(StatusParams(session_id="s0"), AWAY)
