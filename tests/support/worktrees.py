"""A source repository, a spoke's git rooms beside it, and git as an agent runs it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spoke.clones import Clone, Clones
from spoke.git import Git
from spoke.planning import Worktree
from spoke.worktrees import Worktrees

AGENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "agent",
    "GIT_AUTHOR_EMAIL": "agent@localhost",
    "GIT_COMMITTER_NAME": "agent",
    "GIT_COMMITTER_EMAIL": "agent@localhost",
}


def git(cwd: Path, *argv: str, check: bool = True) -> str:
    """git as an agent or a person runs it."""
    done = subprocess.run(["git", *argv], cwd=cwd, env=AGENT, capture_output=True, text=True)
    assert not check or done.returncode == 0, (argv, done.stderr)
    return done.stdout.strip()


def commit(repo: Path, name: str, text: str = "x\n") -> str:
    path = repo / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    git(repo, "add", name)
    git(repo, "commit", "-qm", f"add {name}")
    return git(repo, "rev-parse", "HEAD")


class House:
    """A source repository and a spoke's git rooms."""

    def __init__(self, root: Path, worktrees: Worktrees, clones: Clones, source: Path) -> None:
        self.root = root
        self.worktrees = worktrees
        self.clones = clones
        self.source = source
        self.repo = str(source)

    async def clone(self) -> Clone:
        return await self.clones.get(self.repo)

    async def make(
        self, session: str, branch: str = "", base: str | None = None, *, existing: bool = False
    ) -> Worktree:
        return await self.worktrees.make(
            session, self.repo, branch or f"coord/{session}", base, existing=existing
        )

    async def papers(self) -> set[Path]:
        """Those of the worktrees in the pool."""
        return set(((await self.clone()).path / "papers").glob("*"))

    async def settled_pool(self) -> None:
        """What is in the pool by then is all that there will be."""
        await self.worktrees.wait_ready(self.repo)
        self.worktrees._pool._size = 0

    async def drained_pool(self) -> None:
        """From here on, worktrees are made fresh."""
        await self.settled_pool()
        for ready in self.worktrees._pool._ready.values():
            while ready:
                ready.pop().place.discard(self.worktrees._trash)

    def traces(self, session: str) -> list[str]:
        """Everything on disk that is named after the session, what was removed left out."""
        found: list[str] = []
        for folder, inner, names in os.walk(self.root):
            inner[:] = [name for name in inner if name not in ("trash", "kept")]
            found += [f"{folder}/{name}" for name in (*inner, *names) if session in name]
        return sorted(found)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    repo = tmp_path / "source"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main", ".")
    commit(repo, "README.md", "hello\n")
    commit(repo, "src/a.txt", "a\n")
    git(repo, "tag", "v1")
    git(repo, "branch", "other")
    return repo


@pytest.fixture
async def house(tmp_path: Path, source: Path) -> AsyncIterator[House]:
    root = tmp_path / "spoke"
    clones = Clones(root, Git(root / "home"), allow_local=True)
    async with Worktrees(root, clones) as worktrees:
        yield House(root, worktrees, clones, source)
