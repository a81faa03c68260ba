"""What a worktree holds that nothing else does, found and saved without running anything of it.

The index is copied and the daemon's own configuration used, so that neither filters, hooks,
monitors nor submodules of the worktree take part, and neither its files nor its index change.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import InvalidArgument
from spoke.clones import ORIGIN_HEAD, Clone
from spoke.flight import in_thread
from spoke.git import GitFailed
from spoke.notes import Note
from spoke.place import Place

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
SHOWN: Final = 20  #: dirty paths told
_SAVED: Final = re.compile(r"refs/coord/[A-Za-z0-9_][A-Za-z0-9_/-]*\Z")
#: Files that are there although the index says they are skipped count as files.
_SPARSE: Final = ("-c", "core.sparseCheckout=true")


@dataclass(frozen=True, slots=True)
class Inspection:
    """`ahead` counts commits, of HEAD and of the session's branch, that no branch of the source
    had when last seen. `merged`: the source's default branch has them all. `saved_ref`: where an
    earlier state was saved. `tampered`: the daemon's configuration was found changed and restored.
    """

    head: str | None  #: None on a branch without commits
    base: str
    dirty: bool
    dirty_paths: tuple[str, ...]
    ahead: int
    merged: bool
    pushed: bool
    saved_ref: str | None
    tampered: bool


async def inspect(clone: Clone, place: Place, note: Note) -> Inspection:
    saved = f"refs/coord/wip/{note.session}"
    names = ("HEAD", f"refs/heads/{note.branch}", ORIGIN_HEAD, saved)
    with _index(place) as index:
        desk = _Desk(clone, place, index)
        head, tip, default, kept = await desk.objects(*(f"{name}^{{commit}}" for name in names))
        await desk.refresh()
        dirty = await desk.dirty()
    work = [sha for sha in (head, tip) if sha is not None]
    ahead = await _missing(clone, work, "--remotes=origin")
    merged = default is not None and not await _missing(clone, work, default)
    return Inspection(
        head=head,
        base=note.base,
        dirty=bool(dirty),
        dirty_paths=tuple(dirty[:SHOWN]),
        ahead=ahead,
        merged=merged,
        pushed=ahead == 0,
        saved_ref=saved if kept else None,
        tampered=clone.tampered,
    )


async def save(clone: Clone, place: Place, note: Note, ref: str) -> str | None:
    if not _SAVED.match(ref):
        raise InvalidArgument("BAD_REF", "a state is saved below refs/coord/ only")
    with _index(place) as index:
        desk = _Desk(clone, place, index)
        await desk.refresh()
        try:
            await desk.add_all()
        except GitFailed:
            await desk.add_all()  # a file changed under our hands: the agent may be at work
        tree = (await desk.run(["write-tree"])).strip()
        head, head_tree, old, old_tree, old_head = await desk.objects(
            "HEAD^{commit}", "HEAD^{tree}", f"{ref}^{{commit}}", f"{ref}^{{tree}}", f"{ref}^1"
        )
        if tree == head_tree and head is not None:
            if await _missing(clone, [head], "--remotes=origin") == 0:
                return None
            commit = head
        elif old is not None and (old_tree, old_head) == (tree, head):
            return old
        else:
            parents = ["-p", head] if head is not None else []
            said = ["-m", f"coord: uncommitted work of {note.session}"]
            commit = (await desk.run(["commit-tree", tree, *parents, *said])).strip()
    await clone.run(["update-ref", ref, commit])
    return commit


async def _missing(clone: Clone, commits: Sequence[str], known: str) -> int:
    """How many commits, reachable from these, are not reachable from `known`."""
    if not commits:
        return 0
    return int(await clone.run(["rev-list", "--count", *commits, "--not", known]))


@dataclass(frozen=True, slots=True)
class _Desk:
    """One worktree seen through a private copy of its index."""

    clone: Clone
    place: Place
    index: Path

    async def run(self, argv: Sequence[str], stdin: bytes | None = None) -> str:
        env = self.place.git_env(GIT_INDEX_FILE=str(self.index))
        argv = [*_SPARSE, *argv]
        return await self.clone.run(argv, git_dir=self.place.admin, env=env, stdin=stdin)

    async def objects(self, *names: str) -> list[str | None]:
        return await self.clone.objects(*names, git_dir=self.place.admin)

    async def refresh(self) -> None:
        """Looks at each file, also at those the agent told git to take for unchanged."""
        argv = ["update-index", "-q", "--really-refresh", "--unmerged", "--ignore-submodules"]
        with contextlib.suppress(GitFailed):  # its way of saying that something has changed
            await self.run(argv)

    async def dirty(self) -> list[str]:
        """Paths that differ from HEAD or are unknown to it, ignored ones left out."""
        argv = ["status", "--porcelain=v1", "-z", "--no-renames", "--ignore-submodules=all"]
        said = await self.run([*argv, "--untracked-files=normal"])
        return [_printable(entry[3:]) for entry in said.split("\0") if entry]

    async def add_all(self) -> None:
        """Puts every changed, new and deleted file into the private index."""
        argv = ["ls-files", "-z", "-m", "-o", "-d", "--exclude-standard", "--deduplicate"]
        paths = [path for path in (await self.run(argv)).split("\0") if path]
        there, gone = await in_thread(_sort_out, self.place.tree, paths)
        if gone:
            await self.run(["update-index", "-z", "--force-remove", "--stdin"], stdin=_lines(gone))
        if there:
            argv = ["update-index", "-z", "--add", "--replace", "--stdin"]
            await self.run(argv, stdin=_lines(there))


def _sort_out(tree: Path, paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Paths that are files or links now, and tracked ones that no longer are.

    Repositories inside the worktree are neither, and what we may not read is left as it was.
    """
    there: list[str] = []
    gone: list[str] = []
    linked: dict[str, bool] = {}
    for path in paths:
        mode = _mode(tree / path)
        if _below_link(tree, os.path.dirname(path), linked):  # noqa: PTH120 - many of them
            gone.append(path)
        elif stat.S_ISLNK(mode) or (stat.S_ISREG(mode) and os.access(tree / path, os.R_OK)):
            there.append(path)
        elif not (stat.S_ISREG(mode) or (stat.S_ISDIR(mode) and _mode(tree / path / ".git"))):
            gone.append(path)
    return there, gone


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


@contextlib.contextmanager
def _index(place: Place) -> Generator[Path]:
    """A copy of the worktree's index, outside it; a link in its place is not followed."""
    with tempfile.TemporaryDirectory(prefix="coord-index-") as folder:
        copy = Path(folder, "index")
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(place.admin / "index", _READ)
            with os.fdopen(descriptor, "rb") as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target)
        yield copy


def _lines(paths: Sequence[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


def _printable(path: str) -> str:
    return os.fsencode(path).decode(errors="replace")
