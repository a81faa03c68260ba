"""Branches of sessions: taken for one session, given back on a rollback, deleted when saved."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from protocol.errors import Conflict
from spoke import newborn, notes
from spoke.clones import Clone
from spoke.flight import in_thread
from spoke.git import GitFailed
from spoke.notes import Note
from spoke.papers import Papers

_NOWHERE: Final = "0" * 40
_TAKEN: Final = ("reference already exists", "exists; cannot create", "there is a non-empty dir")


def begin(clone: Clone, note: Note, papers: Papers | None = None) -> bool:
    """Makes the branch at its base without git, for files are all it is. False: git must see."""
    word = notes.reflog_word(note.session)
    return newborn.write(clone.path, note.branch, note.base, word, papers)


async def create(clone: Clone, note: Note) -> None:
    """The same by git. Raises `Conflict` REF_CONFLICT if the branch, or half its path, is."""
    if (clone.path / _ref(note.branch)).exists():  # not all: it may be packed
        raise conflict(note.branch, "reference already exists")
    word = notes.reflog_word(note.session)
    argv = ["update-ref", "--create-reflog", "-m", word, _ref(note.branch), note.base, _NOWHERE]
    try:
        await clone.run(argv)
    except GitFailed as failure:
        if not any(word in failure.stderr for word in _TAKEN):
            raise
        raise conflict(note.branch, failure.stderr.strip().rpartition(": ")[2]) from failure


async def find(clone: Clone, branch: str) -> str | None:
    """The commit an existing branch is at, in this clone or else at the source."""
    here, there = await clone.objects(
        f"{_ref(branch)}^{{commit}}", f"refs/remotes/origin/{branch}^{{commit}}"
    )
    if here is None and there is not None:
        await clone.run(["update-ref", "--create-reflog", _ref(branch), there, _NOWHERE])
    return here or there


async def check_free(clone: Clone, branch: str) -> None:
    """Raises `Conflict` REF_CONFLICT if a worktree of this clone is on the branch."""
    holder = await in_thread(_holder, clone.path, branch)
    if holder is not None:
        raise conflict(branch, f"the worktree {holder} is on it")


async def give_back(clone: Clone, note: Note) -> None:
    """Deletes the branch if it was made for this very session and nobody has moved it."""
    if note.existing or note.made:
        return
    await in_thread(newborn.unlock, clone.path, note.branch, note.base)
    (tip,) = await clone.objects(_ref(note.branch))
    if tip is None:
        await in_thread(notes.forget_birth, clone.path, note)
    elif notes.birth(clone.path, note.branch) == (tip, note.session) and tip == note.base:
        await clone.run(["update-ref", "-d", _ref(note.branch), tip])


async def is_held_elsewhere(clone: Clone, branch: str, tip: str | None) -> bool:
    """Whether each of its commits is reachable otherwise; ``tip`` None: there is no such branch."""
    if tip is None or tip == clone.default:
        return True
    others = [f"--exclude={_ref(branch)}", "--glob=refs/heads", "--remotes", "--tags"]
    argv = ["rev-list", "-n", "1", tip, "--not", *others, "--glob=refs/coord"]
    return not (await clone.run(argv)).strip()


async def delete(clone: Clone, branch: str, tip: str | None) -> bool:
    """False: it is no longer where it was, and stays."""
    if tip is None:
        return True
    try:
        await clone.run(["update-ref", "-d", _ref(branch), tip])
    except GitFailed:
        return await clone.tip(branch) is None
    return True


def _holder(clone: Path, branch: str) -> str | None:
    head = f"ref: {_ref(branch)}"
    for admin in (clone / "commons/worktrees").iterdir():
        try:
            with (admin / "HEAD").open(errors="replace") as text:
                if text.read(len(head) + 2).strip() == head:
                    return admin.name
        except OSError:
            continue  # half made or half removed: it holds nothing
    return None


def conflict(branch: str, why: str) -> Conflict:
    """REF_CONFLICT: the branch is somebody else's."""
    return Conflict(
        "REF_CONFLICT",
        f"the branch {branch} cannot be taken: {why}",
        advice="choose another branch, or resume the session that has it",
        details={"branch": branch},
    )


def _ref(branch: str) -> str:
    return f"refs/heads/{branch}"
