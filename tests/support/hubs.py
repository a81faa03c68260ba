"""A migrated database, copied for each test, and a store or a whole hub on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import coord
from hub.embedded.cluster import Endpoint
from hub.store import Postgres, Store, postgres
from tests.support.postgres import database_name, fresh_database

if TYPE_CHECKING:
    from hub.app import RunningHub

DAYS: Final = 3  #: of transcripts, that a hub makes room for


@pytest.fixture(scope="session")
def migrated(postgres_server: Endpoint) -> Generator[str]:
    """The name of a migrated database that nobody is connected to: a template."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        context = fresh_database(postgres_server)
        dsn = runner.run(context.__aenter__())
        runner.run(_migrate(dsn))
        yield database_name(dsn)
        runner.run(context.__aexit__(None, None, None))


async def _migrate(dsn: str) -> None:
    """With what each hub would make in it at its start."""
    await postgres.migrate(dsn)
    async with postgres.connected(dsn) as db:
        await Store(db).access.ensure_partitions(DAYS)


@pytest.fixture
async def hub_database(postgres_server: Endpoint, migrated: str) -> AsyncGenerator[str]:
    """The dsn of a migrated database of this test's own."""
    async with fresh_database(postgres_server, template=migrated) as dsn:
        yield dsn


@pytest.fixture
async def connections(hub_database: str) -> AsyncGenerator[Postgres]:
    async with postgres.connected(hub_database) as db:
        yield db


@pytest.fixture
async def store(connections: Postgres) -> Store:
    return Store(connections)


@pytest.fixture
async def running_hub(hub_database: str, tmp_path: Path) -> AsyncGenerator[RunningHub]:
    async with hub_on(hub_database, tmp_path) as hub:
        yield hub


@pytest.fixture
async def client(running_hub: RunningHub) -> AsyncGenerator[coord.Hub]:
    """An admin, connected."""
    async with admin_of(running_hub) as hub:
        yield hub


@asynccontextmanager
async def hub_on(dsn: str, state: Path) -> AsyncGenerator[RunningHub]:
    # Here, so that a test of the store alone does not load the whole hub.
    from hub.app import serve
    from hub.settings import HubSettings

    settings = HubSettings(database_url=dsn, port=0, http_port=0, state=state)
    async with serve(settings) as hub:
        yield hub


@asynccontextmanager
async def admin_of(hub: RunningHub) -> AsyncGenerator[coord.Hub]:
    token = await hub.admin_token("test")
    async with coord.connect(hub.url, token) as client:
        yield client
