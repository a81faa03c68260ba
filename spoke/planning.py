"""What a worktree is to be: on which branch, from which commit, with which files over it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from protocol.errors import InvalidArgument
from spoke import branches, notes, restoring
from spoke.clones import Clone
from spoke.notes import Note
from spoke.restoring import Back, Resumed


@dataclass(frozen=True, slots=True)
class Wanted:
    """`existing`: the branch is there already. `resumed`: its session ran before."""

    session: str
    branch: str
    base: str | None
    existing: bool
    resumed: Resumed | None


@dataclass(frozen=True, slots=True)
class Plan:
    """`commit`: whose files are to be checked out. `back`: what is laid over them."""

    note: Note
    commit: str
    back: Back | None


@dataclass(frozen=True, slots=True)
class Worktree:
    """A worktree that exists, on its branch, with the files of `base_commit` or later."""

    path: Path
    branch: str
    base_commit: str
    repo: str
    pooled: bool
    session: str


async def plan(clone: Clone, wanted: Wanted) -> Plan:
    """Raises `InvalidArgument` BAD_REF, `Conflict` REF_CONFLICT."""
    session, branch, resumed = wanted.session, wanted.branch, wanted.resumed
    back, base = None, wanted.base
    if resumed is not None:
        back = await restoring.find(clone, session, branch, resumed.saved)
        base = resumed.begun_at or base
    if back is None and (resumed is not None or not wanted.existing):
        begin = await clone.resolve(base)
        return Plan(Note(session, clone.url, branch, begin, existing=False), begin, None)
    tip = await branches.find(clone, branch) if back is None else back.tip
    if tip is None:
        raise InvalidArgument(
            "BAD_REF", f"there is no branch {branch} to resume", details={"field": "branch"}
        )
    await branches.check_free(clone, branch)
    born = notes.birth(clone.path, branch)
    begin = await clone.resolve(base) if base is not None else born[0] if born else tip
    return Plan(Note(session, clone.url, branch, begin, existing=True), tip, back)
