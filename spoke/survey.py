"""All that this spoke has of sessions, to be held against what the hub believes."""

from __future__ import annotations

import re
from typing import Final

from protocol.ops.wire import FoundAttempt, FoundRef, FoundWorktree, Survey
from spoke import notes
from spoke.attempts import Attempts
from spoke.clones import Clone
from spoke.flight import in_thread
from spoke.planning import Worktree
from spoke.worktrees import Worktrees

_SAVED: Final = re.compile(r"refs/coord/(?:wip|salvage)/(?P<session>[^/]+)(?:/[^/]+)?\Z")
_HEAD: Final = "refs/heads/"


async def survey(worktrees: Worktrees, attempts: Attempts) -> Survey:
    """Raises GitFailed."""
    there = await in_thread(_on_disk, worktrees)
    with_worktree = {one.session for one in there}
    saved: list[FoundRef] = []
    branches: list[FoundRef] = []
    for clone in worktrees.clones():
        for ref, commit in await _refs(clone):
            found = _SAVED.match(ref)
            if found is not None:
                saved.append(_found(clone, found["session"], ref, commit))
            elif ref.startswith(_HEAD):
                born = await in_thread(notes.birth, clone.path, ref.removeprefix(_HEAD))
                if born is not None and born[1] not in with_worktree:
                    branches.append(_found(clone, born[1], ref, commit))
    return Survey(
        attempts=[
            FoundAttempt(session_id=key.session_id, attempt=key.attempt, damaged=damaged)
            for key, damaged in attempts.held()
        ],
        worktrees=[
            FoundWorktree(session_id=one.session, worktree=str(one.path), branch=one.branch)
            for one in there
        ],
        saved=saved,
        branches=branches,
    )


def _on_disk(worktrees: Worktrees) -> list[Worktree]:
    """Not all that were noted: somebody may have deleted one by hand."""
    return [one for one in worktrees.leftovers() if one.path.is_dir()]


async def _refs(clone: Clone) -> list[tuple[str, str]]:
    argv = ["for-each-ref", "--format=%(objectname) %(refname)", "refs/coord", "refs/heads"]
    lines = (await clone.run(argv)).splitlines()
    return [(ref, commit) for commit, _, ref in (line.partition(" ") for line in lines)]


def _found(clone: Clone, session: str, ref: str, commit: str) -> FoundRef:
    return FoundRef(session_id=session, ref=ref, commit=commit, repo=clone.url)
