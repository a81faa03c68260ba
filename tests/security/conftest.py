"""What every attack happens beside: an innocent client, and a log that is read afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

import pytest

import coord
from hub.app import RunningHub
from hub.door import links
from tests.security.people import Watch
from tests.security.raw import PATIENCE


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
