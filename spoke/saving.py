"""The state of a worktree as one commit: what is committed, staged, changed and new in it.

The commit's tree is the files as they are. Its parents are HEAD, then what was staged if that is
something else again, then the session's branch if HEAD does not contain it. Where there is nothing
but commits, the state is HEAD itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.errors import InvalidArgument
from spoke import changes
from spoke.changes import Mark
from spoke.clones import ORIGIN_HEAD, Clone
from spoke.desk import Desk, laid_out
from spoke.git import GitFailed
from spoke.notes import Note
from spoke.place import Place

_SAVED: Final = re.compile(r"refs/coord/[A-Za-z0-9_][A-Za-z0-9_/-]*\Z")
_EMPTY: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
STAGED: Final = "coord: what was staged by "
WORK: Final = "coord: uncommitted work of "


@dataclass(frozen=True, slots=True)
class Files:
    """What git saw in a worktree: the trees of its files and of its index (None in the middle of a
    merge), and the files that it could not read."""

    tree: str
    staged: str | None
    unread: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """These were the files, for as long as nothing was touched since the mark."""

    mark: Mark
    files: Files


@dataclass(frozen=True, slots=True)
class State:
    """Ids of a worktree as it is, beside what a ref says that it was."""

    head: str | None  #: None on a branch without commits
    tip: str | None  #: of the session's branch, where HEAD does not contain it
    tree: str
    head_tree: str | None
    staged: str | None  #: the tree of the index, where it is neither HEAD's nor the files'
    old: str | None  #: the commit at the ref
    old_tree: str | None
    old_parents: tuple[str, ...]
    old_staged: str | None
    default: str | None  #: the source's default branch

    @property
    def is_clean(self) -> bool:
        """Nothing but the commits of HEAD."""
        return self.tip is None and self.staged is None and self.tree == (self.head_tree or _EMPTY)

    @property
    def is_saved(self) -> bool:
        """The ref holds exactly this."""
        if self.old is None:
            return False
        if self.is_clean:
            return self.old == self.head
        others = [sha for sha in (self.head, self.tip) if sha is not None]
        parents = len(others) + (self.staged is not None)
        return (
            self.old_tree == self.tree
            and len(self.old_parents) == parents
            and set(others) <= set(self.old_parents)
            and self.old_staged == self.staged
        )


async def look(desk: Desk) -> Proof:
    mark = changes.now()
    await desk.refresh()
    staged = await _staged(desk)
    try:
        is_same = not await desk.add_all()
    except GitFailed:
        await desk.add_all()  # a file changed under our hands: the agent may be at work
        is_same = False
    tree = staged if is_same and staged else (await desk.run(["write-tree"])).strip()
    return Proof(mark, Files(tree, staged, tuple(desk.unread)))


async def compare(clone: Clone, place: Place, note: Note, ref: str, files: Files) -> State:
    """The state of these files, beside what `ref` holds now."""
    tree, staged = files.tree, files.staged
    names = ("HEAD^{commit}", "HEAD^{tree}", f"refs/heads/{note.branch}^{{commit}}")
    then = (f"{ref}^{{commit}}", f"{ref}^{{tree}}", f"{ref}^1", f"{ref}^2", f"{ref}^3")
    more = (f"{ref}^2^{{tree}}", f"{ORIGIN_HEAD}^{{commit}}")
    found = await clone.objects(*names, *then, *more, git_dir=place.admin)
    head, head_tree, tip, old, old_tree, *parents, second, default = found
    if staged in (tree, head_tree or _EMPTY):
        staged = None
    if tip == head or tip is None or (head and not await missing(clone, [tip], head)):
        tip = None
    known = tuple(sha for sha in parents if sha is not None)
    old_staged = second if staged is not None and len(known) > 1 else None
    return State(head, tip, tree, head_tree, staged, old, old_tree, known, old_staged, default)


async def save(
    clone: Clone, place: Place, note: Note, ref: str, *, niceness: int = 0
) -> tuple[str | None, Proof]:
    """Writes the state to `ref`. The commit; None if the source has it all and no state before
    was written there."""
    if not _SAVED.match(ref):
        raise InvalidArgument("BAD_REF", "a state is saved below refs/coord/ only")
    with laid_out(clone, place, niceness) as desk:
        proof = await look(desk)
        state = await compare(clone, place, note, ref, proof.files)
        return await _keep(desk, note, ref, state), proof


async def _keep(desk: Desk, note: Note, ref: str, state: State) -> str | None:
    clone = desk.clone
    if state.is_saved:
        return state.old
    is_first = state.is_clean and state.old is None
    if is_first and not (state.head and await missing(clone, [state.head], "--remotes=origin")):
        return None
    commit = state.head if state.is_clean else await _commit(desk, note, state)
    if commit is None:  # a branch without commits, and no files any more
        return state.old
    await clone.run(["update-ref", ref, commit], niceness=desk.niceness)
    return commit


async def missing(clone: Clone, commits: Sequence[str], known: str) -> int:
    """How many commits, reachable from these, are not reachable from `known`."""
    if not commits:
        return 0
    return int(await clone.run(["rev-list", "--count", *commits, "--not", known]))


async def _commit(desk: Desk, note: Note, state: State) -> str:
    parents = [state.head]
    if state.staged is not None:
        above = ["-p", state.head] if state.head else []
        said = ["-m", STAGED + note.session]
        parents.append((await desk.run(["commit-tree", state.staged, *above, *said])).strip())
    parents.append(state.tip)
    given = [word for sha in parents if sha is not None for word in ("-p", sha)]
    said = ["-m", WORK + note.session]
    return (await desk.run(["commit-tree", state.tree, *given, *said])).strip()


async def _staged(desk: Desk) -> str | None:
    """The tree of the index as the agent left it; None in the middle of a merge."""
    try:
        return (await desk.run(["write-tree"])).strip()
    except GitFailed:
        return None
