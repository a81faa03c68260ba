"""Lock files that a dead git left behind: which may be removed, and when.

Lock files name no owner, and agents' own git works in the same directories. So two rules: a lock
is removed if it is old, or if it was born during the life of a git of ours that we had to kill
and has not changed for a while.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

STALE: Final = 10.0  #: seconds; git holds the locks of refs for milliseconds
STILL: Final = 0.2  #: seconds


def break_stale(path: Path, within: Path) -> bool:
    """Removes an old lock that stands in our way; False if it may well be somebody's."""
    try:
        if not path.resolve().is_relative_to(within.resolve()):
            return False
        if time.time() - path.lstat().st_mtime < STALE:
            return False
        path.unlink()
    except FileNotFoundError:
        return True  # its owner was quicker
    except OSError:
        return False
    return True


def sweep(git_dir: Path, since: float) -> None:
    """Removes the locks in and below `git_dir` that were born after `since` and stand still."""
    seen = {path: mark for path, mark in _marks(git_dir) if mark[2] >= since - STILL}
    if not seen:
        return
    time.sleep(STILL)
    for path, mark in _marks(git_dir):
        if seen.get(path) == mark:
            path.unlink(missing_ok=True)


def _marks(git_dir: Path) -> Iterator[tuple[Path, tuple[int, int, float]]]:
    for path in _locks(git_dir):
        with contextlib.suppress(OSError):
            stat = path.lstat()
            yield path, (stat.st_dev, stat.st_ino, stat.st_mtime)


def _locks(git_dir: Path) -> Iterator[Path]:
    yield from git_dir.glob("*.lock")
    # The refs and the packed ones are links, followed here; nothing below them is.
    yield from Path(os.path.realpath(git_dir / "packed-refs")).parent.glob("*.lock")
    for folder, _, names in os.walk(os.path.realpath(git_dir / "refs")):
        yield from (Path(folder, name) for name in names if name.endswith(".lock"))
