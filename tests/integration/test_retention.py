"""The trash keeps what was removed for some days, and no more than there is room for."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from spoke.kept import Kept, new_entry
from spoke.notes import Note
from spoke.trash import Trash

DAY = 86_400.0
SIZE = 1 << 20


def _remove(kept: Kept, root: Path, session: str, days_ago: float) -> str:
    """As if a worktree of a mebibyte had been removed then."""
    note = Note(session, "/repo", f"coord/{session}", "0" * 40, existing=False)
    entry = replace(new_entry("clone", note, None, "merged"), at=time.time() - days_ago * DAY)
    (root / entry.id / "tree").mkdir(parents=True)
    (root / entry.id / "tree" / "file").write_bytes(b"x" * SIZE)
    kept._write(entry)
    return session


@pytest.mark.parametrize(
    ("days", "most", "left"),
    [
        (7.0, 100 * SIZE, ["new", "old", "older"]),
        (2.5, 100 * SIZE, ["new", "old"]),
        (7.0, 2 * SIZE + SIZE // 2, ["new", "old"]),
        (0.5, 100 * SIZE, []),
    ],
)
def test_what_is_too_old_leaves_and_then_the_oldest_until_the_rest_fits(
    tmp_path: Path, days: float, most: int, left: list[str]
) -> None:
    root, trash = tmp_path / "kept", Trash(tmp_path / "trash")
    kept = Kept(root, days=days, most=most)
    for session, ago in (("old", 2.0), ("new", 1.0), ("older", 3.0)):
        _remove(kept, root, session, ago)
    kept.tidy(trash)
    assert [entry.note.session for entry in kept.every()] == left
    assert all(entry.bytes and entry.bytes >= SIZE for entry in kept.every()), "it was counted"
    assert len(list((tmp_path / "trash").iterdir())) == 3 - len(left), "to be erased"


def test_the_thread_that_erases_tidies_first(tmp_path: Path) -> None:
    root = tmp_path / "kept"
    kept = Kept(root, days=1.5)
    for session, ago in (("new", 1.0), ("old", 2.0)):
        _remove(kept, root, session, ago)
    trash = Trash(tmp_path / "trash", kept.tidy)
    trash.start()
    try:
        assert trash.wait_empty(60)
    finally:
        trash.close()
    assert [entry.note.session for entry in kept.every()] == ["new"]
    assert list((tmp_path / "trash").iterdir()) == []
