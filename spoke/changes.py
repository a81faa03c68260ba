"""What was touched in a worktree since a moment, and what lies in it, without starting git."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

from spoke.place import Place

MOST: Final = 4_000  #: entries; to look at more takes longer than to let git look
_TICK_NS: Final = 20_000_000  #: by which a file system's clock may be behind ours
_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_HEAD: Final = struct.Struct(">4sII")
_STEP_NS: Final = 1_000_000_000  #: by which our clocks may part before neither is believed


@dataclass(frozen=True, slots=True)
class Walked:
    """`touched`: something was, since the mark, or nobody can say. `inner`: folders with a .git of
    their own."""

    touched: bool
    inner: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """Nothing was touched later than `at`, in ns since 1970; `apart`: wall clock - monotonic."""

    at: int
    apart: int


def now() -> Mark:
    """To be taken before a look at the files, which then covers all that is older."""
    return Mark(time.time_ns() - _TICK_NS, _apart())


def born(place: Place) -> Mark:
    """Of a worktree that was put into place a moment ago and that nobody has had yet."""
    newest = max(_touched(path) for path in (place.tree, place.tree / ".git", place.admin))
    return Mark(newest, _apart())


def changed(place: Place, since: Mark) -> bool:
    """Also True where looking would take too long, or a clock was set."""
    if abs(_apart() - since.apart) > _STEP_NS or _tracked(place) >= MOST:
        return True
    admin = (place.admin, place.admin / "logs/HEAD")
    walk = chain((_touched(path) for path in admin), _flat(place.admin), _deep(place.tree))
    seen = 0
    for touched in islice(walk, MOST):
        if touched > since.at:
            return True
        seen += 1
    return seen == MOST


def walk(place: Place, since: Mark | None) -> Walked:
    """All of it, however long that takes: 5 µs for a file. Links are not followed."""
    newest = max(_touched(place.admin / "logs/HEAD"), _touched(place.admin), *_flat(place.admin))
    inner: list[str] = []
    for path, touched in _folders(place.tree):
        newest = max(newest, touched)
        if path:
            inner.append(path)
    is_clock_set = since is None or abs(_apart() - since.apart) > _STEP_NS
    return Walked(since is None or is_clock_set or newest > since.at, tuple(inner))


def _folders(tree: Path) -> Iterator[tuple[str, int]]:
    """For each: its path if it has a .git and is not the top, and when anything in it changed."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        newest, path = _touched(tree / folder), ""
        try:
            opened = os.open(tree / folder, _OPEN_FOLDER)
        except OSError:
            yield path, newest  # closed to us: git says what it could not read
            continue
        try:
            with os.scandir(opened) as entries:  # by number: a third quicker than by path
                for entry in entries:
                    if (touched := _changed(entry)) > newest:
                        newest = touched
                    if entry.name == ".git":
                        path = folder
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{folder}/{entry.name}" if folder else entry.name)
        finally:
            os.close(opened)
        yield path, newest


def _changed(entry: os.DirEntry[str]) -> int:
    """What went while we looked is a change."""
    try:
        return entry.stat(follow_symlinks=False).st_ctime_ns
    except OSError:
        return time.time_ns()


def _apart() -> int:
    return time.time_ns() - time.monotonic_ns()


def _tracked(place: Place) -> int:
    """How many files git knows there: the third number of an index. 0 where it cannot be read."""
    try:
        opened = os.open(place.admin / "index", _OPEN_FILE)
    except OSError:
        return 0
    try:
        head = os.read(opened, _HEAD.size)
    finally:
        os.close(opened)
    return int(_HEAD.unpack(head)[2]) if len(head) == _HEAD.size else 0


def _touched(path: os.PathLike[str] | str) -> int:
    """When it last changed, and 0 where there is nothing: its folder says that it went."""
    try:
        return os.lstat(path).st_ctime_ns
    except OSError:
        return 0


def _flat(folder: os.PathLike[str]) -> Iterator[int]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield _changed(entry)
    except OSError:
        return


def _deep(top: os.PathLike[str]) -> Iterator[int]:
    yield _touched(top)
    waiting = [os.fspath(top)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    yield entry.stat(follow_symlinks=False).st_ctime_ns
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            continue
