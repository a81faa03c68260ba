"""What coord does to opencode so that it obeys nobody else, and waits for nobody else."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from protocol.ops.wire import StartOrder
from spoke.agents import table
from spoke.agents.opencode import OpencodeTongue
from spoke.agents.tongue import Ready, Reply, Start
from tests.agents.install import BIN
from tests.agents.stage import Stage
from tests.support.world import PATIENCE

ORDER = StartOrder(
    task="t", prompt="p", repo="/r", base=None, branch="b", agent="opencode", command=None, args=[],
    env={}, stdin="open", parent_session_id=None, worktree=None, resume=False, credential="secret",
)  # fmt: skip


@pytest.mark.parametrize("on_stage", ["opencode"], indirect=True)
async def test_its_port_obeys_nobody_and_its_commands_do_not_see_the_key(on_stage: Stage) -> None:
    """A command is what knows the port best: that of the process which started it."""
    on = on_stage
    looks = "ss -Hltnp | grep pid=$OPENCODE_PID, | grep -o '127.0.0.1:[0-9]*' > port.txt"
    id = await on.spawn(f"model: sh {looks}; env > env.txt\nmodel: say I looked.")
    await on.hears(id, "I looked.")
    worktree = Path((await on.view(id)).worktree or "")
    (address,) = (worktree / "port.txt").read_text().split()
    async with httpx.AsyncClient() as stranger:
        answer = await stranger.get(f"http://{address}/session")
    assert answer.status_code == httpx.codes.UNAUTHORIZED
    variables = (worktree / "env.txt").read_text()
    assert "OPENCODE_SERVER_PASSWORD" not in variables
    assert "NPM_CONFIG_OFFLINE" not in variables


async def test_a_network_that_swallows_everything_does_not_hold_it_up(tmp_path: Path) -> None:
    """For a plugin it wants a package, whose registry is a port here that nobody reads from."""
    plan = table.find("opencode").plan(ORDER, "ses_1/1")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    with socket.create_server(("127.0.0.1", 0)) as registry:
        ours = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "npm_config_registry": f"http://127.0.0.1:{registry.getsockname()[1]}",
        }
        await _run([*plan.before_first], {**ours, **plan.first_env}, tmp_path)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *plan.argv, env={**ours, **plan.env}, cwd=tmp_path, stdin=pipe, stdout=pipe,
            limit=1 << 26,
        )  # fmt: skip
        try:
            async with asyncio.timeout(PATIENCE):
                await _open(process, tmp_path)
        finally:
            process.kill()
            await process.wait()


async def _run(argv: list[str], env: Mapping[str, str], cwd: Path) -> None:
    nowhere = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*argv, env=env, cwd=cwd, stdout=nowhere)
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def _open(process: asyncio.subprocess.Process, cwd: Path) -> None:
    """Until its conversation is open."""
    assert process.stdin is not None
    assert process.stdout is not None
    tongue = OpencodeTongue(Start(str(cwd)))
    says = list(tongue.open())
    while True:
        process.stdin.writelines(f"{line}\n".encode() for line in says)
        heard = tongue.read((await process.stdout.readline()).decode(), 0)
        if any(isinstance(event, Ready) for event in heard):
            return
        says = [event.line for event in heard if isinstance(event, Reply)]
