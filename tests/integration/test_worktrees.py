"""A worktree of a session: on its branch, made once, and all that its agent's own git needs."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from protocol.errors import Conflict, InvalidArgument
from tests.support.worktrees import AGENT, House, commit, git


async def test_a_worktree_is_on_its_branch_at_its_base(house: House) -> None:
    tip = git(house.source, "rev-parse", "main")
    made = await house.make("s1")
    assert made.path == house.root / "worktrees" / (await house.clone()).name / "s1"
    assert (made.branch, made.base_commit, made.pooled) == ("coord/s1", tip, False)
    assert git(made.path, "status", "--porcelain=v2", "--branch").splitlines() == [
        f"# branch.oid {tip}",
        "# branch.head coord/s1",
    ]
    assert (made.path / "src/a.txt").read_text() == "a\n"
    await house.worktrees.wait_ready(house.repo)  # whose git has locks of its own meanwhile
    assert not list((await house.clone()).path.glob("**/*.lock"))


async def test_who_commits_is_who_the_source_says(house: House) -> None:
    name = 'Ann "the \\ Smith'
    git(house.source, "config", "user.name", name)
    git(house.source, "config", "user.email", "ann@example.com")
    git(house.source, "config", "alias.st", "!false")
    one = (await house.make("s1")).path
    said = [git(one, "config", f"user.{key}") for key in ("name", "email")]
    assert said == [name, "ann@example.com"]
    assert git(one, "config", "alias.st", check=False) == "", "and nothing else is taken"
    await house.settled_pool()
    git(house.source, "config", "user.name", "Bob")
    git(house.source, "config", "--unset", "user.email")
    for session in ("s2", "s3"):  # both were made ready before
        made = (await house.make(session)).path
        assert git(made, "config", "user.name") == "Bob"
        assert git(made, "config", "user.email", check=False) == ""
    assert not list((house.root / "pool").glob("*/*")), "they are from the pool"


async def test_a_name_that_would_be_more_than_a_name_is_not_taken(house: House) -> None:
    git(house.source, "config", "user.name", "Ann\n[alias]\n\tst = !false")
    made = (await house.make("s1")).path
    assert git(made, "config", "user.name", check=False) == ""
    assert git(made, "config", "alias.st", check=False) == ""


async def test_32_at_once(house: House) -> None:
    made = await asyncio.gather(*(house.make(f"s{n:02}") for n in range(32)))
    assert len({worktree.path for worktree in made}) == 32
    for worktree in made:
        assert git(worktree.path, "status", "--porcelain") == ""
        assert git(worktree.path, "branch", "--show-current") == worktree.branch
    assert {left.session for left in house.worktrees.leftovers()} == {f"s{n:02}" for n in range(32)}


async def test_asked_again_it_gives_the_same(house: House) -> None:
    one, two = await asyncio.gather(house.make("s1"), house.make("s1"))
    assert one == two
    with pytest.raises(Conflict, match="WORKTREE_EXISTS"):
        await house.make("s1", "coord/else")


async def test_resume_on_the_same_branch(house: House) -> None:
    made = await house.make("s1")
    tip = commit(made.path, "work.txt")
    await house.worktrees.remove(made.path)
    again = await house.make("s1", existing=True)
    assert again.base_commit == made.base_commit
    assert git(again.path, "rev-parse", "HEAD") == tip
    assert (again.path / "work.txt").exists()
    with pytest.raises(Conflict, match="REF_CONFLICT"):
        await house.make("s2", "coord/s1", existing=True)
    with pytest.raises(InvalidArgument, match="BAD_REF"):
        await house.make("s2", "coord/nothing", existing=True)
    assert house.traces("s2") == []


async def test_an_agents_git_works(house: House, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(house.source), str(bare))
    one = await house.worktrees.make("s1", str(bare), "coord/s1", None)
    two = await house.worktrees.make("s2", str(bare), "coord/s2", None)
    tip = commit(one.path, "one.txt")
    git(one.path, "branch", "side")
    git(one.path, "config", "user.signingKey", "mine")
    (one.path / "README.md").write_text("stashed\n")
    git(one.path, "stash")
    git(one.path, "stash", "pop")
    git(one.path, "checkout", "-q", "README.md")
    git(one.path, "log", "--all", "--oneline")
    git(one.path, "pack-refs", "--all")
    git(one.path, "gc", "-q")
    git(one.path, "fetch", "-q")
    git(one.path, "push", "-q")
    assert git(bare, "rev-parse", "coord/s1") == tip
    git(two.path, "merge", "-q", "--ff-only", "origin/coord/s1")
    assert git(two.path, "config", "--get", "user.signingKey", check=False) == ""
    listed = git(one.path, "worktree", "list", "--porcelain")
    assert f"worktree {one.path}\n" in listed
    assert f"worktree {two.path}\n" in listed
    git(one.path, "worktree", "prune", "--expire", "now")
    git(two.path, "status")
    assert "already checked out" in _refused(one.path, "checkout", "coord/s2")
    git(one.path, "branch", "-d", "side")
    git(one.path, "rebase", "-q", "origin/main")
    git(one.path, "switch", "-q", "-c", "topic")
    assert git(one.path, "fsck", "--no-dangling") == ""
    three = await house.worktrees.make("s3", str(bare), "coord/s3", "coord/s1")
    assert three.base_commit == tip


def _refused(cwd: Path, *argv: str) -> str:
    done = subprocess.run(["git", *argv], cwd=cwd, env=AGENT, capture_output=True, text=True)
    assert done.returncode != 0
    return done.stderr


async def test_a_prune_takes_nothing_that_is_being_made(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git takes away at once what has neither a lock nor files so far: here, after each step."""
    one = await house.make("s1")
    await house.drained_pool()
    make_folder = Path.mkdir

    def prune_behind(
        path: Path, mode: int = 0o777, *, parents: bool = False, exist_ok: bool = False
    ) -> None:
        make_folder(path, mode, parents=parents, exist_ok=exist_ok)
        git(one.path, "worktree", "prune", "--expire", "now")

    monkeypatch.setattr(Path, "mkdir", prune_behind)
    two = await house.make("s2")
    assert git(two.path, "status", "--porcelain") == ""
