"""Real git repositories for agents to work in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "someone",
    "GIT_AUTHOR_EMAIL": "someone@example.invalid",
    "GIT_COMMITTER_NAME": "someone",
    "GIT_COMMITTER_EMAIL": "someone@example.invalid",
}


def git(where: Path, *argv: str) -> str:
    done = subprocess.run(
        ["git", *argv], cwd=where, env=_ENV, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def make_repository(where: Path, files: int = 3) -> str:
    """A repository with one commit; its path."""
    where.mkdir(parents=True)
    git(where, "init", "-q", "-b", "main")
    for n in range(files):
        (where / f"file{n}.txt").write_text(f"line of file {n}\n")
    git(where, "add", ".")
    git(where, "commit", "-q", "-m", "The first files")
    return str(where)
