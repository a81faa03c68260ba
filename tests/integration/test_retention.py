"""The trash keeps what was removed for some days, and no more than there is room for."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from protocol.errors import NotFound
from spoke.bounds import Bounds
from spoke.kept import Kept, new_entry
from spoke.notes import Note
from spoke.place import Place
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


def _back(folder: Path) -> tuple[Place, Path]:
    """Where it would be given back to, and the clone."""
    (folder / "clone/notes").mkdir(parents=True)
    back = folder / "back"
    return Place(back / "tree", back / "view", back / "admin"), folder / "clone"


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


class _Watched:
    """A lock that tells when somebody finds it taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.is_waited_for = threading.Event()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.is_waited_for.set()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_what_is_given_back_at_the_moment_in_which_it_is_counted_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, trash = Kept(tmp_path / "kept"), Trash(tmp_path / "trash")
    _remove(kept, tmp_path / "kept", "ses_1", 1.0)
    hands = _Watched()
    monkeypatch.setattr(kept, "_hands", hands)
    unlink = Path.unlink

    def tidy() -> None:
        kept.tidy(trash)
        hands.is_waited_for.set()

    tidying = threading.Thread(target=tidy)

    def counted_meanwhile(path: Path, *, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        if path.name == "going.json":  # one that is being counted has been read before
            tidying.start()
            assert hands.is_waited_for.wait(60)

    [entry] = kept.every()
    monkeypatch.setattr(kept, "every", lambda: (entry,))
    monkeypatch.setattr(Path, "unlink", counted_meanwhile)
    place, clone = _back(tmp_path)
    kept.give_back(entry, place, clone)
    tidying.join(60)
    assert (place.tree / "file").exists()
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_removal_and_those_who_count_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who counts yields to all: who waited for it would wait for as long as the machine is busy.
    What is only half in the trash at that moment is counted later, as a whole."""
    kept, trash = Kept(tmp_path / "kept"), Trash(tmp_path / "trash")
    bounds = Bounds(tmp_path / "worktrees")
    tree = tmp_path / "worktrees/clone/ses_1"
    tree.mkdir(parents=True)
    (tree / "file").write_bytes(b"x" * SIZE)
    _remove(kept, tmp_path / "kept", "ses_2", 1.0)
    kept.tidy(trash)
    hands = _Watched()
    monkeypatch.setattr(kept, "_hands", hands)
    rename = os.rename
    was_free = threading.Event()

    def tidy() -> None:
        kept.tidy(trash)
        if not hands.is_waited_for.is_set():
            was_free.set()
        hands.is_waited_for.set()

    tidying = threading.Thread(target=tidy)

    def counted_meanwhile(name: str, target: Path, *, src_dir_fd: int | None = None) -> None:
        if src_dir_fd is not None:
            tidying.start()
            assert hands.is_waited_for.wait(60)
        rename(name, target, src_dir_fd=src_dir_fd)

    monkeypatch.setattr(os, "rename", counted_meanwhile)
    note = Note("ses_1", "/repo", "coord/ses_1", "0" * 40, existing=False)
    place = Place(tree, tmp_path / "view", tmp_path / "admin")
    kept.keep(place, bounds, new_entry("clone", note, None, "merged"))
    tidying.join(60)
    assert was_free.is_set()
    assert kept.every()[0].bytes is None
    kept.tidy(trash)
    assert (kept.every()[0].bytes or 0) >= SIZE


def test_what_was_being_counted_by_a_daemon_that_died_is_given_back(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    _remove(kept, tmp_path / "kept", "ses_1", 1.0)
    [entry] = kept.every()
    (tmp_path / "kept" / entry.id / "entry.new").write_text('{"id":')
    place, clone = _back(tmp_path)
    kept.give_back(entry, place, clone)
    assert (place.tree / "file").exists()
    assert list((tmp_path / "kept").iterdir()) == []


def test_what_was_thrown_away_meanwhile_is_not_given_back(tmp_path: Path) -> None:
    kept, trash = Kept(tmp_path / "kept", days=0.5), Trash(tmp_path / "trash")
    _remove(kept, tmp_path / "kept", "ses_1", 1.0)
    [entry] = kept.every()
    kept.tidy(trash)
    place, clone = _back(tmp_path)
    with pytest.raises(NotFound, match="NOT_IN_TRASH"):
        kept.give_back(entry, place, clone)
    assert not place.occupied()


def test_what_the_disk_has_no_room_to_describe_is_left_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(tmp_path / "kept")
    tree = tmp_path / "worktrees/clone/ses_1"
    tree.mkdir(parents=True)
    monkeypatch.setattr(kept, "_write", Mock(side_effect=OSError(28, "full")))
    note = Note("ses_1", "/repo", "coord/ses_1", "0" * 40, existing=False)
    place = Place(tree, tmp_path / "view", tmp_path / "admin")
    with pytest.raises(OSError, match="full"):
        kept.keep(place, Bounds(tmp_path / "worktrees"), new_entry("clone", note, None, "merged"))
    assert tree.is_dir()
    assert list((tmp_path / "kept").iterdir()) == []
