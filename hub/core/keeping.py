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
    """``why``: what makes sure that nothing is lost. ``branch``: it may go too, ``remote``: also
    at its repository. ``force``: also what no ref can hold."""

    why: str
    branch: bool
    remote: bool = False
    force: bool = False


def decide(
    state: State, seen: Inspected | None, *, force: bool, remote: bool = False
) -> Keep | Remove:
    """``seen`` is None when the spoke could not be asked."""
    if not state.ended:
        return Keep(f"the session is {state}; abort it or wait for it first")
    if seen is None:
        return Keep("its spoke is out of reach; what is in the worktree cannot be seen")
    if not seen.exists:
        return Remove("the worktree is gone already", branch=False)
    remote = remote and seen.merged
    unsaved = _unsaved(seen)
    if unsaved is None:
        return Remove(_kept_by(seen), branch=seen.merged or seen.pushed, remote=remote)
    if force:
        return Remove(f"forced: {unsaved}", branch=False, remote=remote, force=True)
    advice = "it stays in the trash" if seen.left_out else "it is saved to a ref first"
    return Keep(f"{unsaved}; merge or push it, or use --force ({advice})")


def steps(choice: Remove, seen: Inspected, branch: str, *, asked_remote: bool) -> list[str]:
    """What carrying it out means, each with its proof."""
    if not seen.exists:
        return ["forget the worktree: it is not there"]
    said = [f"save what nothing else holds, then move the worktree to the trash: {choice.why}"]
    if choice.branch:
        said.append(f"delete the branch {branch}, if each of its commits is reachable otherwise")
    if choice.remote:
        said.append(f"delete {branch} at its repository: its default branch has all of it")
    elif asked_remote:
        said.append(f"keep {branch} at its repository: it is not known to be merged")
    return said


def _unsaved(seen: Inspected) -> str | None:
    if seen.left_out:
        return f"no ref can hold: {_some(seen.left_out)}"
    if seen.saved:
        return None
    if seen.dirty:
        return f"uncommitted: {_some(seen.dirty_paths)}"
    if seen.ahead and not seen.merged and not seen.pushed:
        commits = "1 commit that is" if seen.ahead == 1 else f"{seen.ahead} commits that are"
        away = (
            f" (its repository could not be asked: {seen.source_away})" if seen.source_away else ""
        )
        return f"{commits} neither merged nor pushed{away}"
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
