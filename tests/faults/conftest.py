"""One town for all tests of a module: hubs and spokes start once, each test brings its sessions."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from hub.embedded.cluster import Endpoint
from tests.support.postgres import fresh_database
from tests.support.repositories import make_repository
from tests.support.town import Town, town

_HERE: Final = Path(__file__).parent
_GUARD_S: Final = 300  #: longer than all waits of one test: the one that fails can say for what


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == _HERE:
            item.add_marker(pytest.mark.timeout(_GUARD_S))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(
    request: pytest.FixtureRequest,
    postgres_server: Endpoint,
    migrated: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Town]:
    """Spokes at the first hub. A module may say how many hubs (`HUBS`), which spokes (`SPOKES`)
    and how patient the hubs are (`HUB_SETTINGS`)."""
    spokes = getattr(request.module, "SPOKES", ("anvil", "forge"))
    hubs = getattr(request.module, "HUBS", 1)
    told = getattr(request.module, "HUB_SETTINGS", None)
    folder = tmp_path_factory.mktemp("town")
    async with (
        fresh_database(postgres_server, template=migrated) as dsn,
        town(folder, dsn, *spokes, hubs=hubs, hub_settings=told) as made,
    ):
        yield made


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_left(request: pytest.FixtureRequest) -> AsyncGenerator[None]:
    """What a failed test left running would fail the next one of its town too."""
    yield
    if (here := request.node.funcargs.get("here")) is not None:
        await here.clear()


@pytest.fixture
def repo(tmp_path: Path) -> str:
    return make_repository(tmp_path / "repo")
