"""The demo with a real agent: what `make demo AGENT=...` does, from nothing to nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.agents import settings
from tests.agents.install import BIN, programs
from tests.support.scripted.server import scripted_model

WRITE = """\
model: sh mkdir -p notes && echo {{task}} >notes/{{task}}.md && git add notes && git commit -qm 'Note {{task}}'
model: say {{task}} is noted.
"""  # noqa: E501 - one line of the script is one command


@pytest.mark.timeout(300)
@pytest.mark.parametrize("agent", sorted(programs()))
async def test_the_demo_runs_with_a_real_agent(agent: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\nname = person\nemail = person@example.invalid\n")
    async with scripted_model() as model:
        settings.write(home, home / ".config", model.url)
        env = {**os.environ, **settings.environment(model.url, BIN, os.environ["PATH"])}
        env = {name: value for name, value in env.items() if not name.startswith("XDG_")}
        env["HOME"] = str(home)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "examples.demo", "--agent", agent, "--prompt", WRITE,
            env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    for task in ("auth-setup", "db-schema", "readme-fixes"):
        assert f"[{task}] {task} is noted." in said, said
        assert f"Note {task}" in said, said
    assert said.count("complete: True") == 2, said
    assert said.count("left on this machine: 0") == 2, said
