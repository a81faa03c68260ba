"""One town for all tests of a module: hubs and spokes start once, each test brings its sessions."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from hub.embedded.cluster import Endpoint
from tests.support.postgres import fresh_database
from tests.support.repositories import make_repository
from tests.support.town import Town, town


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(
    postgres_server: Endpoint, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Town]:
    """One hub and the spokes anvil and forge."""
    folder = tmp_path_factory.mktemp("town")
    async with (
        fresh_database(postgres_server, template=migrated) as dsn,
        town(folder, dsn, "anvil", "forge") as made,
    ):
        yield made


@pytest.fixture
def repo(tmp_path: Path) -> str:
    return make_repository(tmp_path / "repo")
