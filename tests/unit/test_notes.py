"""Notes of worktrees: the name of a note says whether its worktree is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spoke import notes
from spoke.notes import Note

ONE = Note("ses_1", "/repo", "b1", "c" * 40, existing=False, pooled=True)
TWO = replace(ONE, session="ses_2", branch="b2")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/repo").write_text('"/repo"')
    return tmp_path


def test_a_note_is_begun_and_then_made(clone: Path) -> None:
    notes.begin(clone, ONE)
    assert notes.read(clone, "ses_1") == ONE
    (file,) = set((clone / "notes").iterdir()) - {clone / "notes/repo"}
    written = file.stat()
    assert notes.finish(clone, ONE) == notes.read(clone, "ses_1") == replace(ONE, made=True)
    after = notes.path(clone, "ses_1").stat()
    assert (after.st_ino, after.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert not file.exists()


@pytest.mark.parametrize("has_folder", [True, False])
def test_a_note_is_begun_where_what_it_was_to_be_written_on_is_gone(
    clone: Path, *, has_folder: bool
) -> None:
    blank = clone / "papers/pool.note"
    if has_folder:
        blank.parent.mkdir()
    notes.begin(clone, ONE, blank)
    assert notes.every(clone) == (ONE,)


def test_both_kinds_are_listed(clone: Path) -> None:
    notes.begin(clone, TWO)
    notes.begin(clone, ONE)
    notes.finish(clone, ONE)
    assert notes.every(clone) == (replace(ONE, made=True), TWO)


def test_both_kinds_are_forgotten(clone: Path) -> None:
    notes.begin(clone, ONE)
    notes.begin(clone, TWO)
    notes.finish(clone, TWO)
    for session in ("ses_1", "ses_2", "ses_3"):
        notes.forget(clone, session)
    assert [path.name for path in (clone / "notes").iterdir()] == ["repo"]


def test_one_that_was_cut_is_none_and_can_be_begun_again(clone: Path) -> None:
    (clone / "notes/ses_1.begun").touch()
    assert notes.read(clone, "ses_1") is None
    assert notes.every(clone) == ()
    notes.begin(clone, ONE)
    assert notes.read(clone, "ses_1") == ONE


def test_what_is_given_back_is_made_whatever_was_begun(clone: Path) -> None:
    notes.begin(clone, ONE)
    notes.write(clone, replace(ONE, base="d" * 40))
    assert notes.every(clone) == (replace(ONE, base="d" * 40, made=True),)
