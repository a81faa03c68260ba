"""A branch written by us is a branch to git, and what is in its way is left to git."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from spoke import locks, newborn
from spoke.papers import Papers
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


@pytest.fixture
def papers(clone: Path) -> Papers:
    made = Papers.of(clone, "pool+1")
    made.draw_up(_head(clone))
    return made


def _left(clone: Path) -> set[str]:
    return {path.suffix for path in (clone / "papers").iterdir()}


def test_with_its_papers_drawn_up_no_file_is_made(clone: Path, papers: Papers) -> None:
    made = {path.stat().st_ino for path in (papers.branch, papers.log)}
    assert newborn.write(clone, "feat/x", _head(clone), "coord: ses_1", papers)
    written = [clone / folder / "feat/x" for folder in ("refs/heads", "logs/refs/heads")]
    assert {path.stat().st_ino for path in written} == made
    assert git(clone.parent, "rev-parse", "feat/x") == _head(clone)
    assert "coord: ses_1" in git(clone.parent, "reflog", "show", "feat/x")
    git(clone.parent, "fsck", "--strict")
    git(clone.parent, "update-ref", "refs/heads/feat/x", "HEAD~0", "-m", "moved")
    assert _left(clone) == {".note"}


def test_the_reflog_of_a_branch_that_is_gone_goes_on(clone: Path, papers: Papers) -> None:
    log = clone / "logs/refs/heads/x"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"{'0' * 40} {_head(clone)} a <a@b> 1 +0000\tlong ago\n")
    assert newborn.write(clone, "x", _head(clone), "coord: ses_1", papers)
    said = git(clone.parent, "reflog", "show", "x")
    assert ("long ago" in said, "coord: ses_1" in said) == (True, True)


@pytest.mark.parametrize("there", ["x", "x.lock"])
def test_its_papers_do_not_replace_what_is_there(clone: Path, papers: Papers, there: str) -> None:
    path = clone / "refs/heads" / there
    path.write_text(f"{'1' * 40}\n")
    assert not newborn.write(clone, "x", _head(clone), "coord: ses_1", papers)
    assert path.read_text() == f"{'1' * 40}\n"
    assert (clone / "refs/heads/x.lock").exists() == (there == "x.lock")
    assert not (clone / "logs/refs/heads/x").exists()


@pytest.mark.parametrize("gone", ["branch", "log"])
def test_without_its_papers_it_is_left_to_git_or_made(
    clone: Path, papers: Papers, gone: str
) -> None:
    getattr(papers, gone).unlink()
    assert newborn.write(clone, "x", _head(clone), "coord: ses_1", papers) == (gone == "log")
    assert not list(clone.rglob("*.lock"))


def test_papers_that_the_disk_does_not_take_leave_nothing(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", Mock(side_effect=OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        Papers.of(clone, "pool+1").draw_up(_head(clone))
    assert _left(clone) == set()


def test_a_lock_is_as_old_as_it_is_held_and_not_as_its_papers(
    clone: Path, papers: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a git of ours that finds it in its way takes it for one that a dead git left."""
    os.utime(papers.branch, (1, 1))
    broken: list[bool] = []

    def is_there(ref: str) -> bool:
        broken.append(locks.break_stale(Path(f"{ref}.lock"), clone))
        return False

    monkeypatch.setattr("os.path.lexists", is_there)
    assert newborn.write(clone, "x", _head(clone), "coord: ses_1", papers)
    assert broken == [False]


def test_papers_that_the_disk_does_not_let_go_of_are_no_matter(
    clone: Path, papers: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def fails(path: Path, *, missing_ok: bool = False) -> None:
        if path.parent == papers.branch.parent:
            raise OSError(28, "full")
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", fails)
        assert newborn.write(clone, "x", _head(clone), "coord: ses_1", papers)
    assert not list(clone.rglob("*.lock"))
    papers.discard()
    assert git(clone.parent, "rev-parse", "x") == _head(clone)
    assert "coord: ses_1" in git(clone.parent, "reflog", "show", "x")
