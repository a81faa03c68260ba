"""What a worktree begins at: any base of any source, fetched when that has moved (SECURITY G3)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from protocol.errors import InvalidArgument
from tests.support.worktrees import House, commit, git


@pytest.mark.parametrize("base", ["main", "v1", "other", None])
async def test_bases(house: House, base: str | None) -> None:
    made = await house.make("s1", base=base)
    assert made.base_commit == git(house.source, "rev-parse", base or "HEAD")


async def test_a_base_can_be_another_sessions_branch(house: House) -> None:
    one = await house.make("s1")
    tip = commit(one.path, "one.txt")
    two = await house.make("s2", base="coord/s1")
    assert two.base_commit == tip


@pytest.mark.parametrize("base", ["mian", "f" * 40, "--output=/x", "HEAD:README.md", "v1^{tree}"])
async def test_bad_bases_leave_nothing(house: House, base: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await house.make("s1", base=base)
    assert caught.value.reason == "BAD_REF"
    if base == "mian":
        assert "main" in caught.value.advice
    assert house.traces("s1") == []


async def test_a_source_without_commits(house: House, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q", "-b", "main", ".")
    with pytest.raises(InvalidArgument, match="BAD_REF"):
        await house.worktrees.make("s1", str(empty), "b", None)
    tip = commit(empty, "x")
    made = await house.worktrees.make("s1", str(empty), "b", None)
    assert made.base_commit == tip


async def test_a_shallow_source(house: House, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{house.source}", "shallow")
    made = await house.worktrees.make("s1", str(tmp_path / "shallow"), "b", None)
    assert git(made.path, "log", "--format=%s") == "add src/a.txt"
    assert git(made.path, "fsck") == ""


async def test_a_source_that_is_a_linked_worktree(house: House, tmp_path: Path) -> None:
    git(house.source, "worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked"))
    repo = str(tmp_path / "linked")
    await house.worktrees.make("s1", repo, "b1", None)
    tip = commit(tmp_path / "linked", "more")
    made = await house.worktrees.make("s2", repo, "b2", None)
    assert made.base_commit == tip


async def test_first_use_at_once_makes_one_clone(house: House) -> None:
    clones = await asyncio.gather(*(house.clones.get(house.repo) for _ in range(10)))
    assert len({id(clone) for clone in clones}) == 1
    assert house.clones.names() == (clones[0].name,)


async def test_fresh_fetches_only_when_something_changed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = await house.clone()
    fetched = 0
    fetch = clone.fetch

    async def counted() -> None:
        nonlocal fetched
        fetched += 1
        await fetch()

    monkeypatch.setattr(clone, "fetch", counted)
    await clone.fresh()
    assert fetched == 0
    commit(house.source, "x")
    await asyncio.gather(*(clone.fresh() for _ in range(5)))
    assert fetched == 1
    git(house.source, "pack-refs", "--all")
    git(house.source, "branch", "later")
    await clone.fresh()
    assert await clone.resolve("later") == git(house.source, "rev-parse", "later")


@pytest.mark.parametrize("base", [None, "main"])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_base_that_did_not_move_needs_no_fetch(
    house: House, monkeypatch: pytest.MonkeyPatch, base: str | None, packed: bool
) -> None:
    clone = await house.clone()
    git(house.source, "branch", "news")
    if packed:
        git(house.source, "pack-refs", "--all")
    with monkeypatch.context() as patch:
        patch.setattr(clone, "fetch", None)
        await clone.know(base)
    tip = commit(house.source, "x")
    await clone.know(base)
    assert await clone.resolve(base) == tip
    assert await clone.resolve("news") != tip


async def test_a_base_that_no_branch_is_needs_to_be_asked_for(house: House) -> None:
    clone = await house.clone()
    git(house.source, "tag", "v2", commit(house.source, "x"))
    await clone.know("v2")
    assert await clone.resolve("v2") == git(house.source, "rev-parse", "v2")
    git(house.source, "branch", "-D", "other")
    await clone.know("other")
    with pytest.raises(InvalidArgument):
        await clone.resolve("other")
    with pytest.raises(InvalidArgument):
        await clone.know("../../HEAD")
