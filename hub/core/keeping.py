"""Whether a worktree may be removed: only on positive proof that nothing in it would be lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.ops.wire import Inspected
from protocol.session import State

_NAMED: Final = 3  #: uncommitted files


@dataclass(frozen=True, slots=True)
class Keep:
    why: str


@dataclass(frozen=True, slots=True)
class Remove:
    """``save``: put its state into a ref first. ``branch``: the branch may go too."""

    why: str
    save: bool
    branch: bool


def decide(state: State, seen: Inspected | None, *, force: bool) -> Keep | Remove:
    """``seen`` is None when the spoke could not be asked."""
    if not state.ended:
        return Keep(f"the session is {state}; abort it or wait for it first")
    if seen is None:
        return Keep("its spoke is out of reach; what is in the worktree cannot be seen")
    if not seen.exists:
        return Remove("the worktree is gone already", save=False, branch=False)
    unsaved = _unsaved(seen)
    if unsaved is None:
        return Remove(_kept_by(seen), save=False, branch=seen.merged or seen.pushed)
    if force:
        return Remove(f"forced: {unsaved}", save=True, branch=False)
    return Keep(f"{unsaved}; merge or push it, or use --force (it is saved to a ref first)")


def _unsaved(seen: Inspected) -> str | None:
    if seen.left_out:
        return f"no ref can hold: {_some(seen.left_out)}"
    if seen.saved:
        return None
    if seen.dirty:
        return f"uncommitted: {_some(seen.dirty_paths)}"
    if seen.ahead and not seen.merged and not seen.pushed:
        commits = "1 commit that is" if seen.ahead == 1 else f"{seen.ahead} commits that are"
        return f"{commits} neither merged nor pushed"
    return None


def _some(paths: Sequence[str]) -> str:
    more = len(paths) - _NAMED
    return ", ".join(paths[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _kept_by(seen: Inspected) -> str:
    if not seen.dirty and not seen.ahead:
        return "it has nothing of its own" if seen.merged else "pushed"
    if not seen.dirty and (seen.merged or seen.pushed):
        return "merged" if seen.merged else "pushed"
    return f"saved in {seen.saved_ref}"
