"""An agent that wants to get out of its sandbox, with all that a machine offers it."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import coord
from spoke.settings import Places
from tests.support import escapes
from tests.support.world import World, ended, lines, make_repository, marked, story, world

FOR_WORK = {
    "commit", "stash", "stash pop", "branch", "delete the branch", "fetch", "rebase",
}  # fmt: skip
ALWAYS = {
    "temporary file", "read the system", "read its token", "write to /dev/null",
    # Known, and in docs/agents.md.
    "chmod outside", "connect to a socket that is a file", "send a datagram",
    "list another's folder",
}  # fmt: skip
#: Those that end in another way than with EACCES.
OTHERWISE = {
    "signal its supervisor": "EPERM", "signal the daemon": "EPERM",
    "signal another's agent": "EPERM", "trace its supervisor": "EPERM",
    "connect to an abstract socket": "EPERM", "mount": "EPERM", "change the root": "EPERM",
}  # fmt: skip


@dataclass(slots=True)
class Ground:
    here: World
    hub: coord.Hub
    repo: str
    folder: Path

    async def spawn(self, sandbox: str, prompt: str, *, until: str = "running") -> str:
        made = await self.hub.call(
            "coord.spawn",
            {
                "task": "escape", "repo": self.repo, "sandbox": sandbox, "prompt": prompt,
                "command": sys.executable, "args": ["-P", escapes.__file__], "until": until,
            },
        )  # fmt: skip
        assert isinstance(made, dict)
        return str(made["sessionId"])

    async def sandbox_of(self, id: str) -> str:
        (view,) = (await self.hub.status(session_id=id)).sessions
        return view.sandbox


@pytest.fixture
async def ground(tmp_path: Path, hub_database: str) -> AsyncGenerator[Ground]:
    repo = make_repository(tmp_path / "repo")
    async with world(tmp_path, hub_database, "anvil") as here, here.client() as hub:
        yield Ground(here, hub, repo, tmp_path)


async def victim(on: Ground) -> dict[str, str]:
    """Another session at work, and where everything of it is."""
    made = await on.hub.spawn("victim", repo=on.repo, command="sleep", args=["1000"])
    tree, state = Path(str(made.worktree)), on.folder / "spoke-anvil"
    (view,) = (state / "views").glob(f"*/{made.session_id}")
    (clone,) = (state / "clones").iterdir()
    (clone / "refs/coord/wip").mkdir(parents=True, exist_ok=True)
    (pid,) = marked(made.session_id)
    return {
        "state": str(state), "run": str(Places(state).run), "worktree": str(tree),
        "view": str(view), "clone": str(clone),
        "admin": str(clone / "commons/worktrees" / made.session_id), "branch": made.branch,
        "attempt": str(state / "attempts" / f"{made.session_id}.1"), "agent": str(pid),
    }  # fmt: skip


@contextmanager
def outside(on: Ground) -> Generator[dict[str, str]]:
    """What there is on the machine beside the spoke."""
    home, config = on.folder / "home", on.folder / "config" / "coord"
    settings = home / ".claude" / "settings.json"
    for file in (home / "precious", settings, config / "context.json"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    path, name = on.folder / "socket", f"coord-test-{os.getpid()}"
    with (
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        abstract.bind(f"\0{name}")
        named.bind(str(path))
        datagrams.bind(("127.0.0.1", 0))
        for listener in (abstract, named):
            listener.listen()
        yield {
            "home": str(home), "file": str(home / "precious"), "settings": str(settings),
            "context": str(config / "context.json"), "repo": on.repo, "socket": str(path),
            "abstract": name, "port": str(datagrams.getsockname()[1]),
            "daemon": str(on.here.spokes["anvil"].pid),
        }  # fmt: skip


async def tried(on: Ground, sandbox: str, at: Mapping[str, str]) -> dict[str, str]:
    id = await on.spawn(sandbox, json.dumps(at))
    assert await on.sandbox_of(id) == sandbox
    await ended(on.hub, id)
    events = await story(on.hub, id)
    (starting,) = [event.body for event in events if event.kind == "starting"]
    assert starting["sandbox"] == sandbox
    errors = [str(event.body.get("text")) for event in events if event.kind == "stderr"]
    assert not errors, errors
    (said,) = lines(events)
    found: dict[str, str] = json.loads(said)
    return found


CASES: Mapping[str, tuple[set[str], dict[str, str]]] = {
    # Linked in, a file would have more rights than where it is.
    "worktree": ({*ALWAYS, *FOR_WORK, "move another's branch"}, {"hard link in": "EXDEV"}),
    "read-only": (ALWAYS, {}),
}


async def test_each_way_out_is_shut(ground: Ground) -> None:
    at = await victim(ground)
    with outside(ground) as more:
        found = {sandbox: await tried(ground, sandbox, {**at, **more}) for sandbox in CASES}
        assert Path(more["file"]).read_text() == "{}"
    for sandbox, (works, otherwise) in CASES.items():
        errors = {**OTHERWISE, **otherwise}
        tries = found[sandbox]
        assert tries == {
            name: "" if name in works else errors.get(name, "EACCES") for name in tries
        }, sandbox
    assert not list(Path(at["view"], "hooks").iterdir())
    assert Path(f"/proc/{at['agent']}").exists(), "the other one is at work"
