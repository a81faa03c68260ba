"""What every attack happens beside: an innocent client, and a log that is read afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

import pytest

import coord
from hub.app import RunningHub
from hub.door import links
from tests.security import people
from tests.security.people import Watch
from tests.security.raw import PATIENCE, Raw, entered


@pytest.fixture(autouse=True)
def _no_long_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who floods does not read how it is told to stop; the hub waits for that before it ends."""
    monkeypatch.setattr(links, "CLOSE_SECONDS", 0.5)


@pytest.fixture
async def watch(running_hub: RunningHub, caplog: pytest.LogCaptureFixture) -> AsyncGenerator[Watch]:
    """``secrets`` may be added to; all is checked once more at the end."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "httpcore")  # the browser of these tests, not the hub
    token = await running_hub.admin_token("innocent")
    async with coord.connect(running_hub.url, token) as client:
        here = Watch(client, caplog, [token])
        yield here
        async with asyncio.timeout(PATIENCE):
            await here.check()


@pytest.fixture
async def bearer(running_hub: RunningHub, watch: Watch) -> str:
    """What an operator shows who means no good."""
    token = (await people.user(running_hub, "operator", "mallory")).token
    watch.secrets.append(token)
    return f"Bearer {token}"


@pytest.fixture
async def link(running_hub: RunningHub, bearer: str) -> AsyncGenerator[Raw]:
    """And their link."""
    async with entered(running_hub.url, bearer) as raw:
        yield raw


@pytest.fixture
async def session(running_hub: RunningHub) -> str:
    """One that waits for a spoke that will never come."""
    return await people.queued(people.store_of(running_hub))
