"""Records tests/golden/agents anew from the real agents: python -m tests.agents.record [AGENT ...]

Without a name it records what is missing. Lines that mean nothing are left out, long strings are
cut, and folders of this machine are named `/worktree` and `/home`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from protocol.agents import is_named
from protocol.ops.wire import PermissionLayer, StartOrder
from spoke.agents import table
from spoke.agents.tongue import Asked, Event, Ready, Reply, ToolStarted, TurnEnded
from spoke.agents.tongues import tongue
from tests.agents import settings
from tests.agents.install import BIN
from tests.support.scripted.server import scripted_model
from tests.support.transcripts import ASKING, CLAUDE_ID, FOLDER, NOW, Entry, do, shown, start, write

PATIENCE: Final = 120.0
LONGEST: Final = 400  #: characters of a string that are kept

COMMIT: Final = """\
model: say I write.
model: sh echo one > one.txt && git add . && git commit -qm One
model: say It is committed.
"""
#: name -> what is done, each when the agent is idle; TOOL: its tool is awaited.
SCENES: Final[Mapping[str, Sequence[Sequence[str]]]] = {
    "commit": (
        ("prompt", COMMIT, "msg_1"),
        ("prompt", "model: tokens 5000 70\nmodel: say I am still here.", "msg_2"),
    ),
    "interrupted": (
        ("prompt", "model: say I wait.\nmodel: sh tail -f /dev/null", "msg_1"),
        ("TOOL",),
        ("cancel",),
        ("prompt", "model: say I listen.", "msg_2"),
    ),
    "asked": (("prompt", COMMIT, "msg_1"),),
    "refused": (("prompt", COMMIT, "msg_1"),),
    "steered": (
        ("prompt", "model: say I wait.\nmodel: sh sleep 3\nmodel: say Over.", "msg_1"),
        ("TOOL",),
        ("steer", "model: say I was steered.", "msg_2"),
    ),
    "rate_limited_once": (
        ("prompt", "model: fail rate_limited 1 1\nmodel: say At last.", "msg_1"),
    ),
    "rate_limited": (("prompt", "model: fail rate_limited 99 1", "msg_1"),),
    "context_exhausted": (("prompt", "model: fail context_exhausted", "msg_1"),),
    "shortened": (("prompt", "model: fail context_exhausted\nmodel: say I go on.", "msg_1"),),
    "quota_exhausted": (("prompt", "model: fail quota_exhausted 99 1", "msg_1"),),
    "auth_failed": (("prompt", "model: fail auth_failed", "msg_1"),),
    "server_error": (("prompt", "model: fail server_error", "msg_1"),),
}  # fmt: skip
_ASKS: Final = [PermissionLayer(rules=["ask *"], answer_within_ms=1)]
#: They mean nothing by themselves, and what comes later is understood by them.
_NEEDED: Final = (
    '"turn/started"', '"agent_message_chunk"', '"usage_update"', '"_coord/event"',
)  # fmt: skip
#: These take an agent minutes of its own patience, or end in what is recorded of another scene.
LEFT_OUT: Final = frozenset({
    ("claude", "quota_exhausted"), ("claude", "shortened"),
    ("codex", "quota_exhausted"), ("codex", "shortened"),
    ("gemini", "quota_exhausted"), ("gemini", "rate_limited"), ("gemini", "server_error"),
    ("gemini", "shortened"), ("gemini", "steered"),
    ("opencode", "context_exhausted"), ("opencode", "server_error"),
})  # fmt: skip


class Recorder:
    """One agent at work, and what becomes a transcript."""

    def __init__(
        self, agent: str, scene: str, folder: Path, process: asyncio.subprocess.Process
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._settlement = "deny" if scene == "refused" else "allow"
        self._tongue = tongue(agent, start(agent, scene)._replace(cwd=str(folder / "w")))
        self.entries: list[Entry] = []

    def do(self, what: Sequence[str]) -> None:
        wrote = do(self._tongue, what)
        self.entries.append({"do": [*what], "wrote": wrote})
        self._say(wrote)

    async def hear(self, until: type[Event]) -> None:
        """Up to the first event of this kind."""
        while line := (await asyncio.wait_for(self._stdout.readline(), PATIENCE)).decode().rstrip():
            events = self._tongue.read(line, NOW)
            if events or any(word in line for word in _NEEDED):
                self.entries.append({"heard": line, "meant": shown(events)})
            self._say([event.line for event in events if isinstance(event, Reply)])
            for event in events:
                if isinstance(event, Asked):
                    self.do(["answer", event.id, self._settlement])
            if any(isinstance(event, until) for event in events):
                return
        raise AssertionError(f"it ended before {until.__name__}: {self.entries[-1]}")

    async def end(self) -> None:
        self._stdin.close()
        await asyncio.wait_for(self.process.wait(), PATIENCE)

    def _say(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._stdin.write(line.encode() + b"\n")


async def record(agent: str, scene: str, folder: Path) -> None:
    async with _agent(agent, scene, folder) as process:
        recorder = Recorder(agent, scene, folder, process)
        recorder.do(["open"])
        await recorder.hear(Ready)
        steps = SCENES[scene]
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            if step == ("TOOL",):
                await recorder.hear(ToolStarted)
                continue
            recorder.do(step)
            if following != ("TOOL",):
                await recorder.hear(TurnEnded)
        await recorder.end()
    plain = json.loads(_plain(json.dumps(recorder.entries), folder))
    write(FOLDER / agent / f"{scene}.jsonl", [_cut(entry) for entry in plain])
    print(f"{agent} {scene}: {len(recorder.entries)} entries", flush=True)


@asynccontextmanager
async def _agent(
    agent: str, scene: str, folder: Path
) -> AsyncGenerator[asyncio.subprocess.Process]:
    async with scripted_model() as model:
        home, worktree = folder / "home", folder / "w"
        settings.write(home, home / ".config", model.url)
        env = {
            **settings.environment(model.url, BIN, os.environ["PATH"]),
            "HOME": str(home),
            **{f"GIT_{role}_{what}": "agent" for role in ("AUTHOR", "COMMITTER")
               for what in ("NAME", "EMAIL")},
        }  # fmt: skip
        subprocess.run(["git", "init", "-q", "-b", "main", worktree], check=True)
        first = ["git", "-C", worktree, "commit", "-q", "--allow-empty", "-m", "init"]
        subprocess.run(first, check=True, env=env)
        order = StartOrder(
            task="t", prompt="", repo="/r", base=None, branch="b", agent=agent, command=None,
            args=[], env={}, stdin="open", parent_session_id=None, worktree=None, resume=False,
            permissions=_ASKS if scene in ASKING else [], credential="",
        )  # fmt: skip
        plan = table.find(agent).plan(order, "golden")
        argv = [CLAUDE_ID if word == plan.agent_session_id else word for word in plan.argv]
        pipe = asyncio.subprocess.PIPE
        with (folder / "stderr").open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=pipe, stdout=pipe, stderr=stderr, cwd=worktree,
                env={**env, **plan.env}, limit=1 << 26,
            )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _plain(text: str, folder: Path) -> str:
    text = text.replace(str(folder / "w"), "/worktree").replace(str(folder / "home"), "/home")
    return re.sub(r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:1", text)


def _cut(value: object) -> object:
    """With the strings of a heard line, which is JSON itself, cut short as well."""
    match value:
        case {"heard": str(line), "meant": meant}:
            return {"heard": json.dumps(_cut(json.loads(line))), "meant": meant}
        case dict():
            return {key: _cut(one) for key, one in value.items()}
        case list():
            return [_cut(one) for one in value[:20]]
        case str():
            return value[:LONGEST]
        case _:
            return value


async def main(agents: Sequence[str]) -> None:
    for agent in agents or (name for name in sorted(table.AGENTS) if not is_named(name)):
        for scene in SCENES:
            file = FOLDER / agent / f"{scene}.jsonl"
            if (agent, scene) not in LEFT_OUT and (agents or not file.exists()):
                with tempfile.TemporaryDirectory() as folder:
                    await record(agent, scene, Path(folder).resolve())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
