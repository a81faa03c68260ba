"""A session is spawned in a role of a hub's file, with an assignment in parts."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from protocol.errors import CallError
from tests.support.world import COORDCTL, make_repository, story, world

ROLES = """\
[printer]
description = "prints what it was given"
prompt = "Be brief."
env = { TONE = "role", KIND = "role" }
"""
PRINT = (
    'cat "$COORD_PROMPT_FILE"; echo; cat .coord/MISSION.md; echo "$TONE $KIND";'
    " git status --porcelain"
)


async def test_a_role_and_an_assignment_reach_the_agent(tmp_path: Path, hub_database: str) -> None:
    (tmp_path / "roles.toml").write_text(ROLES)
    repo = make_repository(tmp_path / "repo")
    env = {"COORD_ROLES": str(tmp_path / "roles.toml")}
    async with world(tmp_path, hub_database, "anvil", more_env=env) as here, here.client() as hub:
        roles = await hub.call("coord.roles", {})
        assert isinstance(roles, dict)
        assert isinstance(roles["roles"], list)
        names = [one["name"] for one in roles["roles"] if isinstance(one, dict)]
        assert names == ["code-reviewer", "implementation-specialist", "printer"]
        made = await hub.spawn(
            "print", repo=repo, command="sh", args=["-c", PRINT], prompt="Begin.", role="printer",
            env={"TONE": "said"}, assignment={"objective": "Print", "requirements": ["all"]},
        )  # fmt: skip
        await hub.wait(made.session_id)
        (view,) = (await hub.status(made.session_id)).sessions
        assert view.labels == {"role": "printer"}
        events = [one.body.get("text") for one in await story(hub, made.session_id)]
        said = [text for text in events if isinstance(text, str)]
        assert said[:3] == ["Be brief.", "", "Begin."]
        assert said.count("# Mission") == 2
        assert said[-1] == "said role"  # git has nothing to say
        with pytest.raises(CallError, match="ROLE_NOT_FOUND"):
            await hub.spawn("x", repo=repo, command="true", role="boss")
        with pytest.raises(CallError, match="PERMISSIONS_UNSUPPORTED"):
            await hub.spawn("x", repo=repo, command="true", role="code-reviewer")


async def test_a_hub_with_a_bad_file_does_not_start(tmp_path: Path, hub_database: str) -> None:
    (tmp_path / "roles.toml").write_text("[a]\nmodle = 'x'\n")
    argv = [COORDCTL, "hub", "serve", "--database-url", hub_database, "--roles"]
    done = await asyncio.to_thread(
        subprocess.run, [*argv, str(tmp_path / "roles.toml")], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "roles.toml:2: a.modle" in done.stderr
