"""A worktree goes at once and whole, no link is followed, the only copy stays (SECURITY G11)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from protocol.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.support.worktrees import House, commit


async def test_removal_leaves_nothing(house: House) -> None:
    made = await house.make("s1")
    removed = await house.worktrees.remove(made.path, delete_branch=True)
    assert (removed.existed, removed.branch_kept) == (True, None)
    assert house.traces("s1") == []
    assert await house.worktrees.wait_erased(20)
    assert list((house.root / "trash").iterdir()) == []
    assert house.worktrees.leftovers() == ()
    again = await house.worktrees.remove(made.path)
    assert not again.existed
    assert (await house.make("s1")).path.exists()


async def test_a_branch_with_the_only_copy_is_kept(house: House) -> None:
    made = await house.make("s1")
    tip = commit(made.path, "work")
    removed = await house.worktrees.remove(made.path, delete_branch=True)
    assert removed.branch_kept == "coord/s1"
    clone = await house.clone()
    assert await clone.objects("refs/heads/coord/s1") == [tip]
    await clone.run(["update-ref", "refs/coord/wip/s1", tip])
    removed = await house.worktrees.remove(
        (await house.make("s1", existing=True)).path, delete_branch=True
    )
    assert removed.branch_kept is None


async def test_removal_never_follows_a_link(house: House, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    made = await house.make("s1")
    (made.path / "link").symlink_to(outside)
    (made.path / "src/deep").symlink_to(outside, target_is_directory=True)
    (made.path / "locked").mkdir()
    (made.path / "locked/f").write_text("x")
    (made.path / "locked").chmod(0)
    deep = made.path
    for _ in range(300):
        deep = deep / "ddddddd"
    subprocess.run(["mkdir", "-p", "--", str(deep)], check=True)
    await house.worktrees.remove(made.path)
    swapped = await house.make("s2")
    (swapped.path.parent / "aside").mkdir()
    subprocess.run(["rm", "-rf", str(swapped.path)], check=True)
    swapped.path.symlink_to(outside)
    with pytest.raises(NotFound):
        await house.worktrees.inspect(swapped.path)
    await house.worktrees.remove(swapped.path)
    assert await house.worktrees.wait_erased(20)
    assert list((house.root / "trash").iterdir()) == []
    assert (outside / "precious").read_text() == "x"


async def test_a_swapped_parent_is_not_entered(house: House, tmp_path: Path) -> None:
    made = await house.make("s1")
    outside = tmp_path / "outside/s1"
    outside.mkdir(parents=True)
    made.path.parent.rename(tmp_path / "aside")
    made.path.parent.symlink_to(outside.parent)
    with pytest.raises(FailedPrecondition, match="MOVED"):
        await house.worktrees.remove(made.path)
    assert outside.exists()
    made.path.parent.unlink()
    (tmp_path / "aside").rename(made.path.parent)
    managed = house.root / "worktrees"
    managed.rename(tmp_path / "old")
    (managed / made.path.parent.name / "s1").mkdir(parents=True)
    with pytest.raises(FailedPrecondition, match="MOVED"):
        await house.worktrees.remove(made.path)


@pytest.mark.parametrize("path", ["", "s1/..", "../x", "s1/inner", ".git"])
async def test_paths_outside_are_refused(house: House, path: str) -> None:
    made = await house.make("s1")
    for bad in (made.path.parent / path, Path("/etc"), Path("relative"), house.root):
        with pytest.raises(InvalidArgument, match="BAD_PATH"):
            await house.worktrees.remove(bad)
    assert made.path.exists()
