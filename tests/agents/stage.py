"""A hub, a spoke with the real agents, and the scripted model that they all speak to."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import coord
from protocol.ops.sessions import SessionView
from spoke.supervisor import tree
from tests.agents import settings
from tests.agents.install import BIN
from tests.support.repositories import make_repository
from tests.support.scripted.server import ScriptedModel, scripted_model
from tests.support.world import PATIENCE, World, lines, marked, story, world

COMMIT = """\
model: say I write the file.
model: sh echo one > one.txt && git add one.txt && git commit -qm 'Add one'
model: say one.txt is committed.
"""
FOLLOW_UP = """\
model: say I go on.
model: sh echo two >> one.txt && git commit -qam 'Add two'
model: say two is committed.
"""


@dataclass(slots=True)
class Stage:
    agent: str
    repo: str
    here: World
    model: ScriptedModel
    hub: coord.Hub

    async def spawn(self, prompt: str, task: str = "work", stdin: str = "open") -> str:
        made = await self.hub.spawn(
            task, repo=self.repo, agent=self.agent, prompt=prompt, stdin=stdin
        )
        return made.session_id

    async def view(self, id: str) -> SessionView:
        (found,) = (await self.hub.status(session_id=id)).sessions
        return found

    async def until(
        self,
        id: str,
        holds: Callable[[SessionView], bool],
        what: str,
        patience: float = PATIENCE,
    ) -> SessionView:
        """The session once that holds; else what it said."""
        try:
            async with asyncio.timeout(patience):
                while not holds(view := await self.view(id)):
                    await asyncio.sleep(0.05)
                return view
        except TimeoutError:
            view = await self.view(id)
            said = "\n".join(line[:300] for line in lines(await story(self.hub, id))[-15:])
            raise AssertionError(f"not {what}: {view}\n{said}") from None

    async def idle(self, id: str) -> SessionView:
        return await self.until(id, lambda one: one.activity == "idle", "idle")

    async def ended(self, id: str) -> SessionView:
        return await self.until(id, lambda one: one.state.ended, "ended")

    async def hears(self, id: str, text: str, patience: float = PATIENCE) -> None:
        """Wait until its agent has said this."""
        try:
            async with asyncio.timeout(patience):
                while {"event": "text", "text": text} not in await self.told(id, "text"):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            said = await self.told(id, "text")
            raise AssertionError(f"not {text!r}: {await self.view(id)}\n{said}") from None

    async def told(self, id: str, event: str) -> list[dict[str, object]]:
        """What its agent was understood to say."""
        events = [one.body for one in await story(self.hub, id) if one.kind == "agent"]
        return [dict(body) for body in events if body.get("event") == event]


def crash(id: str) -> None:
    """Kill the agent itself, which its supervisor started; all that it had begun goes with it."""
    (leader,) = [pid for pid in marked(id) if _is_leader(pid)]
    os.kill(leader, signal.SIGKILL)


def _is_leader(pid: int) -> bool:
    process = tree.look(pid)
    with suppress(OSError):  # one that was there a moment ago
        if process is not None:
            line = Path(f"/proc/{process.parent}/cmdline").read_bytes()
            return b"spoke.supervisor" in line
    return False


def log(worktree: str) -> list[str]:
    """The subjects of its commits, newest first."""
    done = subprocess.run(
        ["git", "-C", worktree, "log", "--format=%s"], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@asynccontextmanager
async def stage(folder: Path, dsn: str, agent: str) -> AsyncGenerator[Stage]:
    repo = make_repository(folder / "repo")
    async with scripted_model() as model:
        env = settings.environment(model.url, BIN, os.environ["PATH"])
        settings.write(folder / "home", folder / "config", model.url)
        async with world(folder, dsn, more_env=env) as here, here.client() as hub:
            await here.add_spoke("anvil", "--quiet-after", "2s")
            yield Stage(agent, repo, here, model, hub)
