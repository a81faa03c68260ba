"""What was removed and can be had again: whole worktrees, until they are too old or too many.

What moves one in or out and dies before it is done has not begun: what it moved is moved back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from protocol.errors import Conflict, NotFound
from protocol.words import is_id
from spoke import notes
from spoke.bounds import Bounds
from spoke.notes import Note
from spoke.place import Place
from spoke.trash import Trash

_log = logging.getLogger(__name__)

DAYS: Final = 7.0
BYTES: Final = 20 << 30
_IN: Final = ("tree", "admin", "view")  #: in the order in which they come
_OUT: Final = ("view", "tree", "admin")  #: and go: git sees it when all is back

# In which file the description is says how far it came.
_COMING: Final = "coming.json"  #: some of it may still be where it was
_HERE: Final = "entry.json"  #: all of it is here
_GOING: Final = "going.json"  #: some of it may be back already
_FRESH: Final = "entry.new"


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
            with _undoing(lambda: self._stay(folder, place)):
                self._write(entry, _COMING)
                existed = _bring_tree(folder, bounds, entry)
                _bring_in(folder, place, _IN[1:])
                self._close(folder, _COMING)
            return existed

    def every(self) -> tuple[Entry, ...]:
        """Newest first."""
        names = [path.name for path in self._root.iterdir()]
        found = [entry for name in names if (entry := self._read(name, _HERE, _GOING))]
        return tuple(sorted(found, key=lambda entry: -entry.at))

    def find(self, id: str) -> Entry:
        """Raises `NotFound` NOT_IN_TRASH."""
        entry = self._read(id, _HERE, _GOING) if is_id(id) else None
        if entry is None:
            raise NotFound(
                "NOT_IN_TRASH", f"nothing called {id[:64]!r} is kept here", advice="coordctl trash"
            )
        return entry

    def give_back(self, entry: Entry, place: Place, clone: Path) -> None:
        """Moves it to where it was, and notes it there. Raises `Conflict` WORKTREE_EXISTS,
        `NotFound` NOT_IN_TRASH, OSError; then nothing was moved.
        """
        if place.occupied():
            raise Conflict(
                "WORKTREE_EXISTS",
                f"the place of {entry.note.session}'s worktree is not empty",
                advice=f"coordctl cleanup {entry.note.session}",
            )
        folder = self._root / entry.id
        with self._hands:
            self.find(entry.id)  # it may have become too old at this moment
            (folder / _HERE).rename(folder / _GOING)
            with _undoing(lambda: self._return(folder, place, entry, clone)):
                _bring_out(folder, place, _OUT)
                notes.write(clone, entry.note)
                self._drop(folder)

    def unfinished(self) -> tuple[Entry, ...]:
        """What somebody who died was moving in or out. What they left empty is cleared away."""
        with self._hands:
            folders = tuple(self._root.iterdir())
            for folder in folders:
                if not any((folder / name).exists() for name in (_COMING, _HERE, _GOING)):
                    with contextlib.suppress(OSError):  # what is in it is not ours to delete
                        self._drop(folder)
            found = [self._read(folder.name, _COMING, _GOING) for folder in folders]
        return tuple(entry for entry in found if entry is not None)

    def undo(self, entry: Entry, place: Place, clone: Path) -> None:
        """It is where it was before somebody who died began to move it. Raises OSError."""
        folder = self._root / entry.id
        with self._hands:
            if (folder / _COMING).exists():
                self._stay(folder, place)
            elif (folder / _GOING).exists():
                self._return(folder, place, entry, clone)

    def tidy(self, trash: Trash) -> None:
        """Throws away what is too old, then the oldest until the rest fits. Takes its time."""
        room, too_old = self._most, time.time() - self.days * 86_400
        for entry in self.every():  # not holding the lock: nobody waits for who yields to all
            counted = entry if entry.bytes is not None else self._count(entry)
            room -= counted.bytes or 0
            if entry.at < too_old or room < 0:
                _log.info("%s leaves the trash", entry.id)
                with self._hands:
                    self._throw(entry, trash)

    def _throw(self, entry: Entry, trash: Trash) -> None:
        if (self._root / entry.id / _HERE).exists():  # of anything else there may be more elsewhere
            trash.throw(self._root / entry.id)

    def _count(self, entry: Entry) -> Entry:
        counted = dataclasses.replace(entry, bytes=sum(_sizes(self._root / entry.id)))
        with self._hands, contextlib.suppress(OSError):
            if (self._root / entry.id / _HERE).exists():
                self._write(counted)
        return counted

    def _stay(self, folder: Path, place: Place) -> None:
        """What was coming does not, but for a part whose place somebody has taken."""
        paths = _paths(place)
        _bring_out(folder, place, [part for part in _OUT if not os.path.lexists(paths[part])])
        self._close(folder, _COMING)

    def _return(self, folder: Path, place: Place, entry: Entry, clone: Path) -> None:
        """What was going comes back."""
        notes.forget(clone, entry.note.session)
        _bring_in(folder, place, _IN)
        (folder / _GOING).rename(folder / _HERE)

    def _close(self, folder: Path, name: str) -> None:
        """The last step, and one: it is here, if anything of it is, or it never was."""
        if any(os.path.lexists(folder / part) for part in _IN):
            (folder / name).rename(folder / _HERE)
        else:
            self._drop(folder)

    def _drop(self, folder: Path) -> None:
        """It is empty but for its description, and what a full disk or a crash left of one."""
        for name in (_FRESH, _COMING, _GOING):
            (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the next daemon will
            folder.rmdir()

    def _write(self, entry: Entry, name: str = _HERE) -> None:
        fresh = self._root / entry.id / _FRESH
        fresh.write_bytes(to_json(entry))
        fresh.replace(fresh.with_name(name))

    def _read(self, folder: str, *names: str) -> Entry | None:
        for name in names:
            with contextlib.suppress(OSError, ValidationError):
                return _ENTRY.validate_json((self._root / folder / name).read_bytes())
        return None


def new_entry(clone: str, note: Note, tip: str | None, why: str) -> Entry:
    id = f"{note.session}-{os.urandom(4).hex()}"
    return Entry(id=id, clone=clone, note=note, tip=tip, at=time.time(), why=why)


@contextlib.contextmanager
def _undoing(undo: Callable[[], None]) -> Generator[None]:
    """Whatever is raised, it is undone; what cannot be, is by the next daemon."""
    try:
        yield
    except BaseException:
        try:
            undo()
        except OSError as error:
            _log.error("what was begun in the trash could not be undone: %s", error)
        raise


def _bring_tree(folder: Path, bounds: Bounds, entry: Entry) -> bool:
    """False: there are no files."""
    try:
        with bounds.folder(entry.clone) as mine:
            os.rename(entry.note.session, folder / "tree", src_dir_fd=mine)
    except FileNotFoundError:
        return False
    return True


def _bring_in(folder: Path, place: Place, parts: Sequence[str]) -> None:
    """What is in the place of one that is here already is somebody else's."""
    paths = _paths(place)
    for part in parts:
        if os.path.lexists(paths[part]) and not os.path.lexists(folder / part):
            paths[part].rename(folder / part)


def _bring_out(folder: Path, place: Place, parts: Sequence[str]) -> None:
    paths = _paths(place)
    for part in parts:
        if os.path.lexists(folder / part):
            paths[part].parent.mkdir(parents=True, exist_ok=True)
            (folder / part).rename(paths[part])


def _paths(place: Place) -> Mapping[str, Path]:
    return {"tree": place.tree, "admin": place.admin, "view": place.view}


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
