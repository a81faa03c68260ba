"""The commit of a worktree is read from git's files as git itself would say it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from spoke.supervisor.head import commit_of
from tests.support.repositories import make_repository


def git(folder: Path, *argv: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"]
    done = subprocess.run(
        ["git", "-C", folder, *identity, *argv], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_in_a_repository_and_in_a_linked_worktree(tmp_path: Path) -> None:
    repo, linked = Path(make_repository(tmp_path / "repo")), tmp_path / "linked"
    git(repo, "worktree", "add", "-q", "-b", "feat/x", str(linked))
    base = git(repo, "rev-parse", "HEAD")
    assert commit_of(str(repo)) == commit_of(str(linked)) == base
    git(linked, "commit", "-q", "--allow-empty", "-m", "more")
    assert commit_of(str(linked)) == git(linked, "rev-parse", "HEAD") != base
    assert commit_of(str(repo)) == base


def test_of_packed_branches_and_without_a_branch(tmp_path: Path) -> None:
    repo = Path(make_repository(tmp_path / "repo"))
    head = git(repo, "rev-parse", "HEAD")
    git(repo, "pack-refs", "--all")
    assert commit_of(str(repo)) == head
    git(repo, "checkout", "-q", "--detach")
    assert commit_of(str(repo)) == head


def test_where_there_is_nothing_to_see(tmp_path: Path) -> None:
    assert commit_of(str(tmp_path)) is None
    git(tmp_path, "init", "-q")
    assert commit_of(str(tmp_path)) is None
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/loop\n")
    (tmp_path / ".git" / "refs" / "heads" / "loop").write_text("ref: refs/heads/loop\n")
    assert commit_of(str(tmp_path)) is None
