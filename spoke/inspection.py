"""What a worktree holds that nothing else does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spoke import changes
from spoke.clones import Clone
from spoke.desk import laid_out, printable
from spoke.flight import in_thread
from spoke.notes import Note
from spoke.place import Place
from spoke.saving import Proof, State, compare, look, missing

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
    """`ahead` counts commits, of HEAD and of the session's branch, that neither a branch nor HEAD
    of the source had when last seen. `merged`: the source's default branch has them all.
    `saved_ref`: where a state was saved, and `saved`, whether it is this very state. `left_out`:
    what no saved state can hold. `tampered`: the daemon's configuration was found changed and
    restored.
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


@dataclass(frozen=True, slots=True)
class Study:
    """An inspection, and what it stands on."""

    seen: Inspection
    state: State
    proof: Proof


async def inspect(
    clone: Clone, place: Place, note: Note, ref: str, proof: Proof | None = None
) -> Study:
    """`ref`: where a state may be saved. `proof`: what was seen in an earlier look, if any."""
    walked = await in_thread(changes.walk, place, proof.mark if proof else None)
    if proof is None or walked.touched:
        with laid_out(clone, place) as desk:
            proof = await look(desk)
    left_out = (*await _left_out(clone, place, walked.inner), *proof.files.unread)
    state = await compare(clone, place, note, ref, proof.files)
    is_plain = state.is_clean and proof.files.staged is not None and not left_out
    dirty = [] if is_plain else await _dirty(clone, place)
    ahead, is_merged = await _held(clone, state)
    seen = Inspection(
        head=state.head,
        base=note.base,
        dirty=bool(dirty) or not state.is_clean,
        dirty_paths=tuple(dirty[:SHOWN]),
        ahead=ahead,
        merged=is_merged,
        pushed=ahead == 0,
        saved_ref=ref if state.old else None,
        saved=state.is_saved,
        left_out=left_out,
        tampered=clone.tampered,
    )
    return Study(seen, state, proof)


def is_untouched(clone: Clone, place: Place, note: Note) -> bool:
    """Whether no commit in it can be news to a source whose default branch is still there."""
    try:
        head = (place.admin / "HEAD").read_text(errors="replace")
    except OSError:
        return False
    return head == f"ref: refs/heads/{note.branch}\n" and clone.is_at_default(note.branch)


async def _held(clone: Clone, state: State) -> tuple[int, bool]:
    """How many commits no branch of the source has, and whether its default branch has all."""
    work = [sha for sha in (state.head, state.tip) if sha is not None]
    if state.default is not None and set(work) <= {state.default}:
        return 0, True
    ahead = missing(clone, work, "--remotes=origin")
    if state.default is None:
        return await ahead, False
    count, behind = await asyncio.gather(ahead, missing(clone, work, state.default))
    return count, behind == 0


async def _dirty(clone: Clone, place: Place) -> list[str]:
    with laid_out(clone, place) as desk:
        await desk.refresh()
        return await desk.dirty()


async def _left_out(clone: Clone, place: Place, inner: Sequence[str]) -> list[str]:
    """Repositories inside the worktree, and what git was stopped in the middle of."""
    midway = await in_thread(_midway, place.admin)
    if not inner:
        return midway
    with laid_out(clone, place) as desk:
        ignored = await desk.ignored(inner)
    return [*midway, *(f"{printable(path)}/.git" for path in inner if path not in ignored)]


def _midway(admin: Path) -> list[str]:
    words = {word for name, word in _MIDWAY.items() if os.path.lexists(admin / name)}
    return [f"{word} under way" for word in sorted(words)]
