"""What a local repository holds now, and whether it changed since a fetch, without starting git."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: Of a file: path, inode, size, time of change in ns.
Mark = tuple[str, int, int, int]
#: For each file of the refs.
Signature = tuple[Mark, ...]

_POINTER_MAX: Final = 4096
_SYMBOLIC: Final = "ref: refs/heads/"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")


def signature(repo: Path) -> Signature | None:
    """What changes whenever a ref of the repository changes; None if it cannot be known this way.

    Work saved below refs/coord is no branch and no tag: nobody fetches because of it.

    Takes some 20 µs for each directory of loose refs.
    """
    try:
        return tuple(sorted(_marks(repo)))
    except OSError:
        return None


def tip(repo: Path, branch: str | None) -> str | None:
    """The commit that a branch is at, None for the default branch; None if files do not say.

    ``branch`` is a name that `check_base` let pass.
    """
    try:
        git_dir = _git_dir(repo)
        if branch is None:
            said = (git_dir / "HEAD").read_text(errors="replace").strip()
            if not said.startswith(_SYMBOLIC):
                return _commit(said)
            branch = said.removeprefix(_SYMBOLIC)
        common = _pointer(git_dir / "commondir", "") or git_dir
        return _loose(common, branch) or _packed(common, branch)
    except OSError:
        return None


def config(repo: Path) -> tuple[Path, Mark]:
    """Its own configuration, and what changes whenever that does. Raises OSError."""
    git_dir = _git_dir(repo)
    file = (_pointer(git_dir / "commondir", "") or git_dir) / "config"
    return file, _mark(file)


def _loose(common: Path, branch: str) -> str | None:
    try:
        return _commit((common / "refs/heads" / branch).read_text(errors="replace").strip())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _packed(common: Path, branch: str) -> str | None:
    text = (common / "packed-refs").read_bytes()
    before, found, _ = text.partition(f" refs/heads/{branch}\n".encode())
    return _commit(before.rpartition(b"\n")[2].decode(errors="replace")) if found else None


def _commit(said: str) -> str | None:
    return said if _COMMIT.match(said) else None


def _marks(repo: Path) -> Iterator[Mark]:
    git_dir = _git_dir(repo)
    common = _pointer(git_dir / "commondir", "") or git_dir
    if (common / "reftable").exists():
        raise FileNotFoundError("its refs are not files")
    yield _mark(git_dir / "HEAD")
    if (common / "packed-refs").exists():
        yield _mark(common / "packed-refs")
    folders, ours = [common / "refs"], common / "refs/coord"
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if Path(entry.path) == ours:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                yield _mark(Path(entry.path))


def _git_dir(repo: Path) -> Path:
    inner = repo / ".git"
    if inner.is_dir():
        return inner
    return _pointer(inner, "gitdir: ") or repo


def _pointer(file: Path, word: str) -> Path | None:
    """The directory a `.git` or `commondir` file names; None if there is no such file."""
    if not file.is_file():
        return None
    with file.open() as text:
        return file.parent / text.read(_POINTER_MAX).strip().removeprefix(word)


def _mark(path: Path) -> Mark:
    found = path.stat()
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns
