"""Nothing that an agent sets in its repository runs in the daemon (SECURITY G5, G7, G9)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spoke.planning import Worktree
from tests.support.worktrees import House, commit, git

HOOKS = (
    "applypatch-msg",
    "commit-msg",
    "post-applypatch",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-receive",
    "post-rewrite",
    "post-update",
    "pre-applypatch",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "pre-rebase",
    "pre-receive",
    "prepare-commit-msg",
    "proc-receive",
    "push-to-checkout",
    "reference-transaction",
    "update",
    "fsmonitor-watchman",
)


def poison(made: Worktree, marker: Path) -> None:
    """All that an agent can set by ordinary git commands and files in its worktree."""
    evil = marker.parent / "evil"
    evil.write_text(f'#!/bin/sh\necho "$0 $*" >> {marker}\ncat\n')
    evil.chmod(0o755)
    hooks = marker.parent / "evil-hooks"
    hooks.mkdir(exist_ok=True)
    for folder in (hooks, Path(git(made.path, "rev-parse", "--git-path", "hooks"))):
        for name in HOOKS:
            (made.path / folder / name).write_bytes(evil.read_bytes())
            (made.path / folder / name).chmod(0o755)
    (made.path / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    info = Path(git(made.path, "rev-parse", "--git-path", "info/attributes"))
    (made.path / info).write_text("* filter=evil diff=evil merge=evil\n")
    bare = made.path / "embedded"
    git(made.path, "init", "-q", "--bare", str(bare))
    inner = made.path / "nested"
    git(made.path, "init", "-q", str(inner))
    (inner / "f").write_text("x")
    git(inner, "add", "f")
    git(inner, "commit", "-qm", "f")
    git(made.path, "add", "nested")
    (made.path / ".gitmodules").write_text(
        '[submodule "nested"]\n\tpath = nested\n\turl = ext::sh -c touch% x\n\tignore = none\n'
    )
    (inner / "f").write_text("y")
    for repo in (made.path, bare, inner):
        for key, value in (
            ("filter.evil.clean", str(evil)),
            ("filter.evil.smudge", str(evil)),
            ("filter.evil.process", str(evil)),
            ("filter.evil.required", "true"),
            ("diff.evil.textconv", str(evil)),
            ("diff.evil.command", str(evil)),
            ("diff.external", str(evil)),
            ("merge.evil.driver", str(evil)),
            ("core.sshCommand", str(evil)),
            ("core.gitProxy", str(evil)),
            ("core.pager", str(evil)),
            ("core.editor", str(evil)),
            ("credential.helper", f"!{evil}"),
            ("gpg.program", str(evil)),
            ("commit.gpgSign", "true"),
            ("uploadpack.packObjectsHook", str(evil)),
            ("remote.origin.uploadpack", str(evil)),
            ("alias.status", f"!{evil}"),
            ("core.hooksPath", str(hooks)),
            ("core.fsmonitor", str(evil)),
            ("core.worktree", "/"),
            ("extensions.worktreeConfig", "true"),
        ):
            git(repo, "config", key, value)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


async def test_the_poison_works_on_the_agent_itself(house: House, marker: Path) -> None:
    """Else the next test would prove nothing."""
    made = await house.make("s1")
    poison(made, marker)
    git(made.path, "config", "--unset", "core.worktree")
    git(made.path, "-c", "core.pager=cat", "status", check=False)
    assert marker.exists()


@pytest.mark.parametrize("pool", [True, False])
async def test_poison_runs_nowhere_in_the_daemon(house: House, marker: Path, pool: bool) -> None:
    made = await house.make("s1")
    bystander = await house.make("s2")
    if not pool:
        await house.drained_pool()
    await house.worktrees.wait_ready(house.repo)
    poison(made, marker)
    marker.unlink(missing_ok=True)
    work = house.worktrees
    (made.path / "README.md").write_text("changed\n")
    (made.path / "untracked.txt").write_text("new\n")

    seen = await work.inspect(made.path)
    assert seen.dirty
    assert "README.md" in seen.dirty_paths
    assert not seen.tampered
    saved = await work.save("s1", made.path, "refs/coord/wip/s1")
    assert saved is not None
    clone = await house.clone()
    assert (await clone.run(["show", f"{saved}:untracked.txt"])) == "new\n"
    commit(house.source, "later.txt")
    await clone.fresh()
    await clone.resolve("main")
    await clone.resolve("other")
    third = await house.make("s3")
    assert third.pooled == pool
    await work.save("s2", bystander.path, "refs/coord/wip/s2")
    assert not (await work.inspect(bystander.path)).dirty
    await work.wait_ready(house.repo)
    await work.remove(made.path, delete_branch=True)
    await work.remove(third.path, delete_branch=True)
    assert await work.wait_erased(20)
    assert not marker.exists(), marker.read_text()
    # nor in another agent's worktree
    git(bystander.path, "status")
    commit(bystander.path, "mine.txt")
    assert not marker.exists(), marker.read_text()


async def test_poison_through_a_worktree_the_agent_added(house: House, marker: Path) -> None:
    """Its common directory is commons/, which the daemon does not read and keeps empty."""
    made = await house.make("s1")
    added = house.root.parent / "added"
    git(made.path, "worktree", "add", "-q", "-b", "mine", str(added))
    git(added, "config", "core.fsmonitor", f"touch {marker} #", check=False)
    git(added, "config", "filter.evil.clean", f"touch {marker}; cat", check=False)
    (made.path / ".gitattributes").write_text("* filter=evil\n")
    (made.path / "README.md").write_text("changed\n")
    seen = await house.worktrees.inspect(made.path)
    await house.worktrees.save("s1", made.path, "refs/coord/wip/s1")
    clone = await house.clone()
    assert "fsmonitor" not in (clone.path / "commons/config").read_text()
    assert seen.tampered == (os.geteuid() == 0)  # others cannot even write there
    assert not marker.exists()


async def test_a_broken_seal_is_put_back_and_told(house: House, marker: Path) -> None:
    made = await house.make("s1")
    clone = await house.clone()
    control = clone.control
    (control / "config").write_text(f'[filter "evil"]\n\tclean = touch {marker}\n')
    (control / "info/attributes").write_text("* filter=evil\n")
    (control / "hooks/reference-transaction").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (control / "hooks/reference-transaction").chmod(0o755)
    (control / "objects").unlink()
    (control / "objects").symlink_to("/nonexistent")
    (made.path / "README.md").write_text("changed\n")
    seen = await house.worktrees.inspect(made.path)
    assert seen.tampered
    assert seen.dirty
    await house.worktrees.save("s1", made.path, "refs/coord/wip/s1")
    assert not marker.exists()
    assert list((control / "hooks").iterdir()) == []
    assert "evil" not in (control / "config").read_text()


async def test_alternates_run_nothing(house: House, marker: Path, tmp_path: Path) -> None:
    made = await house.make("s1")
    clone = await house.clone()
    other = tmp_path / "elsewhere"
    git(tmp_path, "init", "-q", "--bare", str(other))
    git(other, "config", "core.fsmonitor", f"touch {marker}")
    git(other, "config", "core.alternateRefsCommand", f"touch {marker}")
    (clone.path / "objects/info/alternates").write_text(f"{other}/objects\n")
    commit(house.source, "later.txt")
    assert not (await house.worktrees.inspect(made.path)).dirty
    assert (await house.make("s2")).path.exists()
    assert not marker.exists()


async def test_replaced_objects_do_not_fool_the_daemon(house: House) -> None:
    made = await house.make("s1")
    fake = commit(made.path, "fake.txt")
    git(made.path, "replace", made.base_commit, fake)
    await house.drained_pool()
    two = await house.make("s2")
    assert not (two.path / "fake.txt").exists()


async def test_the_environment_of_the_daemon_does_not_pass(
    house: House, monkeypatch: pytest.MonkeyPatch, marker: Path
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"touch {marker}")
    monkeypatch.setenv("GIT_TRACE", str(marker))
    made = await house.make("s1")
    assert not (await house.worktrees.inspect(made.path)).dirty
    assert not marker.exists()
