"""A new branch without a git process: written as git's files backend writes one.

On the path of a spawn `git update-ref` is the longest step. What it does for a branch that does
not exist yet is: take the lock file, look once more, write the reflog, rename the lock into place.
Anything unusual is left to git itself, whose words then say what is wrong.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_WHO: Final = "coord <coord@localhost>"
_NOWHERE: Final = "0" * 40


def write(clone: Path, branch: str, commit: str, word: str) -> bool:
    """Make the branch at ``commit``; its reflog says ``word``. False: git must see to it."""
    ref = clone / "refs/heads" / branch
    if len(commit) != len(_NOWHERE) or _is_packed(clone, branch):
        return False
    lock = ref.with_name(f"{ref.name}.lock")
    try:
        held = _open(lock, os.O_EXCL)
    except OSError:
        return False
    is_born = False
    try:
        if not os.path.lexists(ref):
            os.write(held, f"{commit}\n".encode())
            os.fsync(held)
            _write_reflog(clone, branch, commit, word)
            lock.rename(ref)
            is_born = True
    except OSError:
        return False
    finally:
        os.close(held)
        if not is_born:  # else the name is free, and what has it by now is another's
            lock.unlink(missing_ok=True)
    return is_born


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


def _write_reflog(clone: Path, branch: str, commit: str, word: str) -> None:
    line = f"{_NOWHERE} {commit} {_WHO} {int(time.time())} +0000\t{word}\n"
    log = _open(clone / "logs/refs/heads" / branch, os.O_APPEND)
    try:
        os.write(log, line.encode())
    finally:
        os.close(log)


def _open(path: Path, flags: int) -> int:
    """To write to it; the folders above it are made if they are not there."""
    flags |= os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o666)
