"""A new branch without a git process: written as git's files backend writes one.

On the path of a spawn `git update-ref` is the longest step. What it does for a branch that does
not exist yet is: take the lock file, look once more, write the reflog, rename the lock into place.
Anything unusual is left to git itself, whose words then say what is wrong.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from spoke.inplace import put
from spoke.papers import Papers

T = TypeVar("T")

_WHO: Final = "coord <coord@localhost>"
_NOWHERE: Final = "0" * 40


def write(clone: Path, branch: str, commit: str, word: str, papers: Papers | None = None) -> bool:
    """Make the branch at ``commit``; its reflog says ``word``. False: git must see to it.

    ``papers``: drawn up for this commit.
    """
    ref = clone / "refs/heads" / branch
    if len(commit) != len(_NOWHERE) or _is_packed(clone, branch):
        return False
    lock = _lock(clone, branch)
    try:
        _link_lock(papers.branch, lock) if papers else _write_lock(lock, commit)
    except OSError:
        return False
    is_born = False
    try:
        if not os.path.lexists(ref):
            _write_reflog(clone, branch, _birth(commit, word), papers)
            lock.rename(ref)
            is_born = True
    except OSError:
        return False
    finally:
        if not is_born:  # else the name is free, and what has it by now is another's
            lock.unlink(missing_ok=True)
    return is_born


def unlock(clone: Path, branch: str, commit: str) -> None:
    """Remove the lock of a daemon that died while it made this: one that holds our commit."""
    lock = _lock(clone, branch)
    with suppress(OSError):  # there is none, nearly always
        if lock.is_file() and lock.read_bytes() == _text(commit):
            lock.unlink()


def _lock(clone: Path, branch: str) -> Path:
    return clone / "refs/heads" / f"{branch}.lock"


def _text(commit: str) -> bytes:
    return f"{commit}\n".encode()


def _is_packed(clone: Path, branch: str) -> bool:
    """Whether the packed refs have it, something below it, or something it would be below."""
    try:
        packed = (clone / "packed-refs").read_bytes()
    except OSError:
        return False
    parts = branch.split("/")
    above = ("/".join(parts[:n]) for n in range(1, len(parts)))
    names = [f" refs/heads/{branch}/", *(f" refs/heads/{name}\n" for name in (branch, *above))]
    return any(name.encode() in packed for name in names)


def _birth(commit: str, word: str) -> bytes:
    return f"{_NOWHERE} {commit} {_WHO} {int(time.time())} +0000\t{word}\n".encode()


def _link_lock(made: Path, lock: Path) -> None:
    os.utime(made)  # else it is born as an old lock, which `locks` takes for a dead git's
    _link(made, lock)


def _write_lock(lock: Path, commit: str) -> None:
    held = _open(lock, os.O_EXCL)
    try:
        os.write(held, _text(commit))
        os.fsync(held)
    except OSError:
        lock.unlink(missing_ok=True)
        raise
    finally:
        os.close(held)


def _write_reflog(clone: Path, branch: str, line: bytes, papers: Papers | None) -> None:
    path = clone / "logs/refs/heads" / branch
    if papers is not None:
        put(papers.log, line)
        with suppress(FileExistsError):  # of a branch of this name that is gone: it goes on
            _link(papers.log, path)
            return
    log = _open(path, os.O_APPEND)
    try:
        os.write(log, line)
    finally:
        os.close(log)


def _link(made: Path, path: Path) -> None:
    """Give it this name, which nothing may have: a rename would replace what has it."""
    _in_folder(path, lambda: os.link(made, path))
    with suppress(OSError):  # it has the name: that it has the other one too harms nobody
        made.unlink()


def _open(path: Path, flags: int) -> int:
    """To write to it."""
    flags |= os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    return _in_folder(path, lambda: os.open(path, flags, 0o666))


def _in_folder(path: Path, make: Callable[[], T]) -> T:
    """The folders above ``path`` are made if they are not there."""
    try:
        return make()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return make()
