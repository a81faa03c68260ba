"""Deleting without waiting: renamed away at once, erased later by a thread that yields to all."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

from spoke.idle import yield_to_all

_log = logging.getLogger(__name__)

_HOUR_S: Final = 3_600.0
_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Trash:
    """A directory in which everything is to be deleted, on the file system of what is thrown in."""

    def __init__(self, root: Path, tidy: Callable[[Trash], None] | None = None) -> None:
        """``tidy`` is done each hour and whenever something was thrown in, by the same thread."""
        self._root = root
        self._tidy = tidy
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._idle = threading.Event()
        self._order = threading.Lock()  # between "something new" and "all is gone"
        self._thread: threading.Thread | None = None
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def throw(self, path: Path, *, folder: int | None = None) -> bool:
        """Renames `path` (relative to the open `folder`, if given) away; False if there is none.

        A link is thrown away itself, never what it points at.
        """
        target = self._root / f"{path.name}-{os.urandom(6).hex()}"
        try:
            os.rename(path, target, src_dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError):
            return False
        self._announce()
        return True

    def start(self) -> None:
        """Begins to erase what is here, what a daemon before us left included."""
        self._announce()
        self._thread = threading.Thread(target=self._work, name="trash", daemon=True)
        self._thread.start()

    def wait_empty(self, seconds: float) -> bool:
        """Whether, within `seconds`, everything thrown in so far was erased."""
        return self._idle.wait(seconds)

    def close(self) -> None:
        """Stops after the file in hand; the rest is for the next daemon."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def stir(self) -> None:
        """There may be something to tidy."""
        self._announce()

    def _announce(self) -> None:
        with self._order:
            self._idle.clear()
            self._wake.set()

    def _work(self) -> None:
        yield_to_all()
        while not self._closing.is_set():
            self._wake.wait(_HOUR_S)
            self._wake.clear()
            self._tidy_up()
            for path in list(self._root.iterdir()):
                if not erase(path, self._root, self._closing):
                    break
            with self._order:
                if not self._wake.is_set():
                    self._idle.set()

    def _tidy_up(self) -> None:
        try:
            if self._tidy is not None:
                self._tidy(self)
        except OSError as error:
            _log.warning("the trash could not be tidied: %s", error)


def erase(top: Path, spare: Path, closing: threading.Event) -> bool:
    """Deletes `top`, which is in `spare`, without following a link or entering a mount.

    Folders found in it are first moved up to `spare`, so that depth costs neither stack nor
    descriptors. What cannot be deleted is logged and stays. False if `closing` was set before
    the end.
    """
    with _opened(spare) as room:
        waiting = deque([top.name])
        while waiting and not closing.is_set():
            name = waiting.popleft()
            try:
                _erase_one(name, room, waiting, closing)
            except OSError as error:
                _log.warning("cannot delete %s: %s", name, error, extra={"action": "erase"})
    return not closing.is_set()


def _erase_one(name: str, room: int, waiting: deque[str], closing: threading.Event) -> None:
    """Deletes a file or a folder without folders in it; those are moved up to wait their turn."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=room, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=room)
        return
    with _opened(name, room) as folder:
        if os.fstat(folder).st_dev != os.fstat(room).st_dev:
            raise OSError("another file system is mounted there")
        with os.scandir(folder) as entries:
            for entry in entries:
                if closing.is_set():
                    return
                if entry.is_dir(follow_symlinks=False):
                    _own(entry.name, folder)
                    waiting.append(os.urandom(8).hex())
                    os.rename(entry.name, waiting[-1], src_dir_fd=folder, dst_dir_fd=room)
                else:
                    os.unlink(entry.name, dir_fd=folder)
    os.rmdir(name, dir_fd=room)


@contextlib.contextmanager
def _opened(path: str | Path, folder: int | None = None) -> Generator[int]:
    _own(path, folder)
    descriptor = os.open(path, _OPEN_FOLDER, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _own(path: str | Path, folder: int | None) -> None:
    """Makes a folder that was closed to us open again; a link in its place is not followed."""
    mode = os.stat(path, dir_fd=folder, follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(path, mode | stat.S_IRWXU, dir_fd=folder)
