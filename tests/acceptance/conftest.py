"""One world for all tests of a module: hub and spokes start once, each test brings its sessions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from hub.embedded.cluster import Endpoint
from tests.support.postgres import fresh_database
from tests.support.repositories import make_repository
from tests.support.world import World, world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def everybody(
    request: pytest.FixtureRequest,
    postgres_server: Endpoint,
    migrated: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[World]:
    """A module may say in `SPOKES` which there are, with the words that each is started with."""
    spokes: Mapping[str, tuple[str, ...]] = getattr(request.module, "SPOKES", {"anvil": ()})
    async with (
        fresh_database(postgres_server, template=migrated) as dsn,
        world(tmp_path_factory.mktemp("world"), dsn) as made,
    ):
        for name, words in spokes.items():
            await made.add_spoke(name, *words)
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def here(everybody: World) -> AsyncGenerator[World]:
    """The world of this module. What a test leaves running would disturb the next one."""
    yield everybody
    await everybody.clear()


@pytest.fixture
def repo(tmp_path: Path) -> str:
    return make_repository(tmp_path / "repo")
