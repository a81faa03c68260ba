"""The ops page of a hub, and who asks it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest

from hub.app import RunningHub
from hub.desk import Desk
from tests.integration.web.browsing import PATIENCE


@pytest.fixture
async def web(running_hub: RunningHub) -> AsyncGenerator[httpx.AsyncClient]:
    """Somebody without any credential."""
    async with httpx.AsyncClient(base_url=running_hub.http_url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def desk(running_hub: RunningHub) -> Desk:
    return running_hub._desk


@pytest.fixture
async def bearer(running_hub: RunningHub) -> dict[str, str]:
    return {"Authorization": f"Bearer {await running_hub.admin_token('anna')}"}
