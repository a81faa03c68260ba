"""Any program that speaks the protocol is an agent: here two real ones that are not told apart."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from protocol.session import State
from tests.agents import settings
from tests.agents.stage import COMMIT, FOLLOW_UP, Stage, log, stage
from tests.support.world import marked

PROGRAMS = {"gemini": ["gemini", "--acp"], "opencode": ["opencode", "acp"]}


@pytest.fixture(params=PROGRAMS)
async def on(
    request: pytest.FixtureRequest, tmp_path: Path, hub_database: str
) -> AsyncGenerator[Stage]:
    async with stage(tmp_path, hub_database, str(request.param)) as made:
        yield made


@pytest.mark.timeout(180)
async def test_it_commits_is_spoken_to_again_and_aborted(on: Stage) -> None:
    program, *args = PROGRAMS[on.agent]
    keys = settings.environment(on.model.url, Path(), "")
    made = await on.hub.spawn(
        "work", repo=on.repo, agent="acp", command=program, args=args, prompt=COMMIT,
        env={name: said for name, said in keys.items() if name.startswith(("G", "OPENC"))},
    )  # fmt: skip
    id = made.session_id
    view = await on.idle(id)
    assert log(view.worktree or "")[0] == "Add one"
    assert view.agent_state is not None
    assert view.agent_state.session_id

    said = await on.hub.message(id, FOLLOW_UP, mode="steer")
    assert said.mode == "queue"
    await on.until(id, lambda _: log(view.worktree or "")[0] == "Add two", "committed")
    await on.idle(id)

    receipt = await on.hub.abort(id, reason="enough")
    assert receipt.complete
    assert (await on.view(id)).state is State.ABORTED
    assert marked(id) == {}
