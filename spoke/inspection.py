"""What a worktree holds that nothing else does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spoke.clones import ORIGIN_HEAD, Clone
from spoke.desk import Desk, laid_out, printable
from spoke.flight import in_thread
from spoke.notes import Note
from spoke.place import Place
from spoke.saving import look, missing

SHOWN: Final = 20  #: dirty paths told
#: Files of an admin directory that say that git was stopped in the middle of something.
_MIDWAY: Final = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "sequencer": "a sequence of picks",
    "BISECT_LOG": "a bisection",
}


@dataclass(frozen=True, slots=True)
class Inspection:
    """`ahead` counts commits, of HEAD and of the session's branch, that no branch of the source
    had when last seen. `merged`: the source's default branch has them all. `saved_ref`: where a
    state was saved, and `saved`, whether it is this very state. `left_out`: what no saved state
    can hold. `tampered`: the daemon's configuration was found changed and restored.
    """

    head: str | None  #: None on a branch without commits
    base: str
    dirty: bool
    dirty_paths: tuple[str, ...]
    ahead: int
    merged: bool
    pushed: bool
    saved_ref: str | None
    saved: bool
    left_out: tuple[str, ...]
    tampered: bool


async def inspect(clone: Clone, place: Place, note: Note) -> Inspection:
    ref = f"refs/coord/wip/{note.session}"
    names = ("HEAD", f"refs/heads/{note.branch}", ORIGIN_HEAD, ref)
    with laid_out(clone, place) as desk:
        head, tip, default, kept = await desk.objects(*(f"{name}^{{commit}}" for name in names))
        await desk.refresh()
        dirty = await desk.dirty()
        left_out = await _left_out(desk)
        state = await look(desk, note, ref)
    work = [sha for sha in (head, tip) if sha is not None]
    ahead = await missing(clone, work, "--remotes=origin")
    merged = default is not None and not await missing(clone, work, default)
    return Inspection(
        head=head,
        base=note.base,
        dirty=bool(dirty) or not state.is_clean,
        dirty_paths=tuple(dirty[:SHOWN]),
        ahead=ahead,
        merged=merged,
        pushed=ahead == 0,
        saved_ref=ref if kept else None,
        saved=state.is_saved,
        left_out=(*left_out, *desk.unread),
        tampered=clone.tampered,
    )


async def _left_out(desk: Desk) -> list[str]:
    """Repositories inside the worktree, and what git was stopped in the middle of."""
    inner = await in_thread(lambda: list(_repositories(desk.place.tree)))
    ignored = await desk.ignored(inner)
    midway = await in_thread(_midway, desk.place.admin)
    return [*midway, *(f"{printable(path)}/.git" for path in inner if path not in ignored)]


def _midway(admin: Path) -> list[str]:
    words = {word for name, word in _MIDWAY.items() if os.path.lexists(admin / name)}
    return [f"{word} under way" for word in sorted(words)]


def _repositories(tree: Path) -> Iterator[str]:
    """Folders below `tree` with a .git of their own; links are not followed."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(tree / folder) as entries:
                for entry in entries:
                    if entry.name == ".git":
                        if folder:
                            yield folder
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{folder}/{entry.name}" if folder else entry.name)
        except OSError:
            continue  # closed to us: git says what it could not read
