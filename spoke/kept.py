"""What was removed and can be had again: whole worktrees, until they are too old or too many."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from protocol.errors import Conflict, NotFound
from protocol.words import is_id
from spoke.bounds import Bounds
from spoke.notes import Note
from spoke.place import Place
from spoke.trash import Trash

_log = logging.getLogger(__name__)

DAYS: Final = 7.0
BYTES: Final = 20 << 30
_PARTS: Final = ("tree", "view", "admin")


@dataclass(frozen=True, slots=True)
class Entry:
    """One removed worktree. `bytes` is None until somebody has counted."""

    id: str
    clone: str
    note: Note
    tip: str | None  #: of its branch, when it was removed
    at: float  #: s since 1970
    why: str
    bytes: int | None = None


_ENTRY: Final = TypeAdapter(Entry)


class Kept:
    """A directory with a folder for each removed worktree, on the file system of the worktrees."""

    def __init__(self, root: Path, *, days: float = DAYS, most: int = BYTES) -> None:
        self._root = root
        self.days = days
        self._most = most
        self._hands = threading.Lock()  #: who counts and throws away is a thread of its own
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def keep(self, place: Place, bounds: Bounds, entry: Entry) -> bool:
        """Moves what there is of a worktree in here; False if there were no files of it.

        A link in the place of its files is moved itself. Raises OSError.
        """
        folder = self._root / entry.id
        with self._hands:
            folder.mkdir(mode=0o700)
            try:
                self._write(entry)
            except OSError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            existed = True
            try:
                with bounds.folder(entry.clone) as mine:
                    os.rename(entry.note.session, folder / "tree", src_dir_fd=mine)
            except FileNotFoundError:
                existed = False
            for part, path in (("admin", place.admin), ("view", place.view)):
                with contextlib.suppress(FileNotFoundError):
                    path.rename(folder / part)
            if not any(os.path.lexists(folder / part) for part in _PARTS):
                self._drop(folder)
            return existed

    def every(self) -> tuple[Entry, ...]:
        """Newest first."""
        names = [path.name for path in self._root.iterdir()]
        found = [entry for name in names if (entry := self._read(name))]
        return tuple(sorted(found, key=lambda entry: -entry.at))

    def find(self, id: str) -> Entry:
        """Raises `NotFound` NOT_IN_TRASH."""
        entry = self._read(id) if is_id(id) else None
        if entry is None:
            raise NotFound(
                "NOT_IN_TRASH", f"nothing called {id[:64]!r} is kept here", advice="coordctl trash"
            )
        return entry

    def give_back(self, entry: Entry, place: Place) -> None:
        """Moves it to where it was. Raises `Conflict` WORKTREE_EXISTS, `NotFound` NOT_IN_TRASH."""
        if place.occupied():
            raise Conflict(
                "WORKTREE_EXISTS",
                f"the place of {entry.note.session}'s worktree is not empty",
                advice=f"coordctl cleanup {entry.note.session}",
            )
        with self._hands:
            self.find(entry.id)  # it may have become too old at this moment
            folder = self._root / entry.id
            for part, path in (("view", place.view), ("tree", place.tree), ("admin", place.admin)):
                path.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    (folder / part).rename(path)
            self._drop(folder)

    def tidy(self, trash: Trash) -> None:
        """Throws away what is too old, then the oldest until the rest fits. Takes its time."""
        room, too_old = self._most, time.time() - self.days * 86_400
        with self._hands:
            entries = self.every()  # none of them only half in here
        for entry in entries:
            counted = entry if entry.bytes is not None else self._count(entry)
            room -= counted.bytes or 0
            if entry.at < too_old or room < 0:
                _log.info("%s leaves the trash", entry.id)
                with self._hands:
                    trash.throw(self._root / entry.id)

    def _count(self, entry: Entry) -> Entry:
        counted = dataclasses.replace(entry, bytes=sum(_sizes(self._root / entry.id)))
        with self._hands, contextlib.suppress(OSError):
            self._write(counted)
        return counted

    def _drop(self, folder: Path) -> None:
        """It is empty but for its description, and what a full disk or a crash left of one."""
        (folder / "entry.new").unlink(missing_ok=True)
        (folder / "entry.json").unlink()
        folder.rmdir()

    def _write(self, entry: Entry) -> None:
        path = self._root / entry.id / "entry.json"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(to_json(entry))
        fresh.replace(path)

    def _read(self, name: str) -> Entry | None:
        try:
            return _ENTRY.validate_json((self._root / name / "entry.json").read_bytes())
        except (OSError, ValidationError):
            return None


def new_entry(clone: str, note: Note, tip: str | None, why: str) -> Entry:
    id = f"{note.session}-{os.urandom(4).hex()}"
    return Entry(id=id, clone=clone, note=note, tip=tip, at=time.time(), why=why)


def _sizes(folder: Path) -> Iterator[int]:
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        yield entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
