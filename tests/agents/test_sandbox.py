"""Each real agent at work in a sandbox, and the things it cannot do there."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.sandbox import Sandbox
from protocol.session import State
from tests.agents.stage import COMMIT, Stage, crash, log
from tests.agents.test_life import MINUTE_APART
from tests.support.world import lines, marked, story

OUT = """\
model: say I go out.
model: sh touch {home}/out ../beside; git config a.b c
model: say I tried.
model: sh echo "{mark}" >> one.txt && touch {home}/out
model: say It is over.
"""


async def _spawn(on: Stage, sandbox: Sandbox, prompt: str) -> str:
    made = await on.hub.spawn(
        sandbox, repo=on.repo, agent=on.agent, prompt=prompt, sandbox=sandbox
    )  # fmt: skip
    return made.session_id


@pytest.mark.timeout(300)
async def test_it_works_in_its_worktree_and_nowhere_else(on_stage: Stage) -> None:
    on = on_stage
    home = on.here.folder / "home"
    settings = {file: file.read_bytes() for file in _settings(home)}
    id = await _spawn(on, "worktree", COMMIT)
    view = await on.idle(id)
    tree = Path(view.worktree or "")
    assert view.sandbox == "worktree"
    assert log(str(tree))[0] == "Add one"

    await on.hub.message(id, OUT.format(home=home, mark="two"))
    await on.hears(id, "It is over.")
    await on.idle(id)
    assert not (home / "out").exists()
    assert not (tree.parent / "beside").exists()
    assert "two" in (tree / "one.txt").read_text()
    assert "Permission denied" in await _output(on, id), "it sees why"

    crash(id)
    assert (await on.ended(id)).state is State.FAILED
    await on.hub.message(id, "model: say I am back.", wait_ms=0)
    await on.hears(id, "I am back.", MINUTE_APART)
    back = await on.idle(id)
    assert (back.attempt, back.sandbox) == (2, "worktree")
    assert back.agent_state is not None
    assert view.agent_state is not None
    assert back.agent_state.session_id == view.agent_state.session_id

    assert {file: file.read_bytes() for file in _settings(home)} == settings
    receipt = await on.hub.abort(id, reason="enough")
    assert receipt.complete
    assert marked(id) == {}


async def test_one_that_reads_changes_nothing(on_stage: Stage) -> None:
    on = on_stage
    id = await _spawn(on, "read-only", COMMIT)
    view = await on.idle(id)
    assert log(view.worktree or "")[0] == "The first files"
    assert not Path(view.worktree or "", "one.txt").exists()
    await on.hub.message(id, "model: sh git log --format=%s\nmodel: say I have read it.")
    await on.hears(id, "I have read it.")
    assert "The first files" in await _output(on, id)
    receipt = await on.hub.abort(id, reason="enough")
    assert receipt.complete
    assert marked(id) == {}


def _settings(home: Path) -> list[Path]:
    """Those that the stage has written."""
    return [home / ".codex" / "config.toml", home / ".gemini" / "settings.json"]


async def _output(on: Stage, id: str) -> str:
    """What its tools have shown it, in its own words."""
    return "".join(lines(await story(on.hub, id)))
