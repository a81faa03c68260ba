"""The assignment as a file: every git leaves it out, and nothing of an agent is in its way."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from spoke import mission


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", tmp_path / "w"], check=True)
    return tmp_path / "w"


def status(worktree: Path) -> str:
    argv = ["git", "-C", worktree, "status", "--porcelain", "--untracked-files=all"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_it_is_there_and_git_does_not_see_it(worktree: Path) -> None:
    assert mission.write(worktree, "# Mission\n")
    assert (worktree / ".coord" / "MISSION.md").read_text() == "# Mission\n"
    assert status(worktree) == ""
    assert mission.write(worktree, "# Another\n")
    assert (worktree / ".coord" / "MISSION.md").read_text() == "# Another\n"


def test_a_folder_of_the_repository_is_left_as_it_is(worktree: Path) -> None:
    (worktree / ".coord").mkdir()
    (worktree / ".coord" / "config").write_text("theirs")
    assert not mission.write(worktree, "text")
    assert [one.name for one in (worktree / ".coord").iterdir()] == ["config"]
    (worktree / ".coord" / ".gitignore").write_text("*.o")
    assert not mission.write(worktree, "text")


@pytest.mark.parametrize("name", ["MISSION.md", "MISSION.md.new", ".gitignore.new"])
def test_no_link_is_followed(worktree: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    mission.write(worktree, "first")
    (worktree / ".coord" / name).unlink(missing_ok=True)
    (worktree / ".coord" / name).symlink_to(outside)
    assert mission.write(worktree, "second")
    assert outside.read_text() == "untouched"
    assert (worktree / ".coord" / "MISSION.md").read_text() == "second"


def test_neither_is_the_folder(worktree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (worktree / ".coord").symlink_to(tmp_path / "outside")
    assert not mission.write(worktree, "text")
    assert list((tmp_path / "outside").iterdir()) == []


def test_what_stands_in_its_way_is_not_opened(worktree: Path) -> None:
    (worktree / ".coord").mkdir()
    os.mkfifo(worktree / ".coord" / ".gitignore")
    assert not mission.write(worktree, "text")
