"""The stage, once for each kind of agent."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.agents.install import programs
from tests.agents.stage import Stage, stage


@pytest.fixture(params=sorted(programs()))
async def on_stage(
    request: pytest.FixtureRequest, tmp_path: Path, hub_database: str
) -> AsyncGenerator[Stage]:
    async with stage(tmp_path, hub_database, str(request.param)) as made:
        yield made
