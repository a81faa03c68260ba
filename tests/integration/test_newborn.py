"""A branch written by us is a branch to git, and what is in its way is left to git."""

from __future__ import annotations

from pathlib import Path

import pytest

from spoke import newborn
from tests.support.repositories import git, make_repository


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    repo = Path(make_repository(tmp_path / "repo"))
    return repo / ".git"


def _head(clone: Path) -> str:
    return git(clone.parent, "rev-parse", "HEAD")


def test_git_sees_the_branch_and_its_birth(clone: Path) -> None:
    assert newborn.write(clone, "feat/deep/er", _head(clone), "coord: ses_1")
    assert git(clone.parent, "rev-parse", "feat/deep/er") == _head(clone)
    assert "coord: ses_1" in git(clone.parent, "reflog", "show", "feat/deep/er")
    git(clone.parent, "fsck", "--strict")
    git(clone.parent, "branch", "-D", "feat/deep/er")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("there", "wanted"), [("a/b", "a/b"), ("a/b", "a"), ("a", "a/b")])
def test_what_is_in_its_way_is_left_to_git(
    clone: Path, there: str, wanted: str, *, packed: bool
) -> None:
    git(clone.parent, "branch", there)
    if packed:
        git(clone.parent, "pack-refs", "--all")
    assert not newborn.write(clone, wanted, _head(clone), "coord: ses_1")
    assert git(clone.parent, "for-each-ref", "--format=%(refname:short)", "refs/heads") == (
        f"{there}\nmain"
    )
    assert not list(clone.rglob("*.lock"))


def test_a_lock_that_another_takes_at_once_is_left_to_it(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def raced(path: Path, target: Path) -> Path:
        moved = rename(path, target)
        path.touch(exist_ok=False)
        return moved

    monkeypatch.setattr(Path, "rename", raced)
    assert newborn.write(clone, "x", _head(clone), "coord: ses_1")
    assert (clone / "refs/heads/x.lock").exists()


def test_a_lock_that_is_held_is_respected(clone: Path) -> None:
    lock = clone / "refs/heads/x.lock"
    lock.touch()
    assert not newborn.write(clone, "x", _head(clone), "coord: ses_1")
    assert lock.exists()
