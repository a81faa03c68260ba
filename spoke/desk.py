"""One worktree seen through a private copy of its index, without running anything of it.

The daemon's own configuration is used, so that neither filters, hooks, monitors nor submodules of
the worktree take part, and neither its files nor its index change.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spoke.clones import Clone
from spoke.flight import in_thread
from spoke.git import GitFailed
from spoke.place import Place

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Files that are there although the index says they are skipped count as files.
_SPARSE: Final = ("-c", "core.sparseCheckout=true")


@dataclass(frozen=True, slots=True)
class Desk:
    """`unread` fills with the paths that `add_all` had to leave out."""

    clone: Clone
    place: Place
    index: Path
    niceness: int = 0
    unread: list[str] = field(default_factory=list[str])

    async def run(self, argv: Sequence[str], stdin: bytes | None = None) -> str:
        env = self.place.git_env(GIT_INDEX_FILE=str(self.index))
        return await self.clone.run(
            [*_SPARSE, *argv],
            git_dir=self.place.admin,
            env=env,
            stdin=stdin,
            niceness=self.niceness,
        )

    async def refresh(self) -> None:
        """Looks at each file, also at those the agent told git to take for unchanged."""
        argv = ["update-index", "-q", "--really-refresh", "--unmerged", "--ignore-submodules"]
        with contextlib.suppress(GitFailed):  # its way of saying that something has changed
            await self.run(argv)

    async def dirty(self) -> list[str]:
        """Paths that differ from HEAD or are unknown to it, ignored ones left out."""
        argv = ["status", "--porcelain=v1", "-z", "--no-renames", "--ignore-submodules=all"]
        said = await self.run([*argv, "--untracked-files=normal"])
        return [printable(entry[3:]) for entry in said.split("\0") if entry]

    async def ignored(self, paths: Sequence[str]) -> set[str]:
        """Those of the paths that the worktree's own rules leave out."""
        argv = ["check-ignore", "-z", "--stdin", "--no-index"]
        try:
            said = await self.run(argv, stdin=_lines(paths))
        except GitFailed as failure:
            if failure.status == 1:  # its way of saying that there is none
                return set()
            raise
        return {path for path in said.split("\0") if path}

    async def add_all(self) -> bool:
        """Puts every changed, new and deleted file into the private index; whether any was."""
        argv = ["ls-files", "-z", "-m", "-o", "-d", "--exclude-standard", "--deduplicate"]
        paths = [path for path in (await self.run(argv)).split("\0") if path]
        there, gone, unread = await in_thread(_sort_out, self.place.tree, paths)
        self.unread[:] = [printable(path) for path in unread]
        if gone:
            await self.run(["update-index", "-z", "--force-remove", "--stdin"], stdin=_lines(gone))
        if there:
            argv = ["update-index", "-z", "--add", "--replace", "--stdin"]
            await self.run(argv, stdin=_lines(there))
        return bool(gone or there)


@contextlib.contextmanager
def laid_out(clone: Clone, place: Place, niceness: int = 0) -> Generator[Desk]:
    """A desk with a copy of the worktree's index; a link in its place is not followed."""
    with tempfile.TemporaryDirectory(prefix="coord-index-") as folder:
        copy = Path(folder, "index")
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(place.admin / "index", _READ)
            with os.fdopen(descriptor, "rb") as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target)
        yield Desk(clone, place, copy, niceness)


def printable(path: str) -> str:
    return os.fsencode(path).decode(errors="replace")


def _sort_out(tree: Path, paths: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Paths that are files or links now, tracked ones that no longer are, and unreadable files.

    Repositories inside the worktree are none of these.
    """
    there: list[str] = []
    gone: list[str] = []
    unread: list[str] = []
    linked: dict[str, bool] = {}
    for path in paths:
        mode = _mode(tree / path)
        if _below_link(tree, os.path.dirname(path), linked):  # noqa: PTH120 - many of them
            gone.append(path)
        elif stat.S_ISREG(mode) and not os.access(tree / path, os.R_OK):
            unread.append(path)
        elif stat.S_ISLNK(mode) or stat.S_ISREG(mode):
            there.append(path)
        elif not (stat.S_ISDIR(mode) and _mode(tree / path / ".git")):
            gone.append(path)
    return there, gone, unread


def _below_link(tree: Path, folder: str, known: dict[str, bool]) -> bool:
    if not folder:
        return False
    if folder not in known:
        above = os.path.dirname(folder)  # noqa: PTH120 - many of them
        known[folder] = (tree / folder).is_symlink() or _below_link(tree, above, known)
    return known[folder]


def _mode(path: Path) -> int:
    """The kind and mode of what is there, not of what it points at; 0 if there is nothing."""
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def _lines(paths: Sequence[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)
