"""A session comes back: where its branch was and what was in its files, from what was saved."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from spoke.clones import Clone
from spoke.git import GitFailed
from spoke.place import Place
from spoke.saving import STAGED, WORK

_log = logging.getLogger(__name__)

FETCH_SECONDS: Final = 300.0
_FETCH: Final = (
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-recurse-submodules",
)


@dataclass(frozen=True, slots=True)
class Resumed:
    """What the hub knows of a session that ran before: where its branch began, and the newest
    commit that its work was saved as."""

    begun_at: str | None
    saved: str | None


@dataclass(frozen=True, slots=True)
class Back:
    """`tip`: where the branch is. `files`: the commit whose files are laid over those of `tip`."""

    tip: str
    files: str | None


async def find(clone: Clone, session: str, branch: str, wanted: str | None) -> Back | None:
    """Puts the branch where it was. None: nothing of it is within reach, it begins anew.

    What another spoke has sent goes before all that is known here, and before what the hub knows:
    that spoke may have been gone before it was heard. A branch that went on after the last save
    wins over that save.
    """
    saved = await _saved(clone, session, wanted)
    here, there = await clone.objects(
        f"refs/heads/{branch}^{{commit}}", f"refs/remotes/origin/{branch}^{{commit}}"
    )
    tip, files = (None, None) if saved is None else await _parts(clone, saved, session)
    for newer in (there, here):
        if newer is not None and newer != tip and (tip is None or await _has(clone, newer, tip)):
            tip, files = newer, None
    if tip is None:
        return None
    if here not in (None, tip) and not await _has(clone, tip, here):
        kept = f"refs/coord/salvage/{session}/branch-{str(here)[:12]}"
        await clone.run(["update-ref", kept, str(here)])
    if here != tip:
        await clone.run(["update-ref", "--create-reflog", f"refs/heads/{branch}", tip])
    if files is not None:
        await clone.run(["update-ref", f"refs/coord/wip/{session}", files])
    return Back(tip, files)


async def lay_out(clone: Clone, place: Place, back: Back) -> None:
    """Brings the files of a saved state into a worktree that has those of its branch.

    Nothing is staged: what was new is unknown to git again, what was changed is changed again.
    """
    if back.files is not None:
        await place.change(clone, back.tip, back.files)
        await clone.run(["read-tree", back.tip], git_dir=place.admin, env=place.git_env())


async def _saved(clone: Clone, session: str, wanted: str | None) -> str | None:
    """`wanted` counts where it is what was saved last, here or there: it may as well be an older
    state, which is at hand because a newer one stands on it."""
    ref, copy = f"refs/coord/wip/{session}", f"refs/coord/fetched/{session}"
    is_news = False
    try:
        is_news = await _fetch(clone, ref, copy)
    except GitFailed as failure:
        _log.info("no saved state of %s is fetched: %s", session, failure.message)
    names = [f"{name}^{{commit}}" for name in (copy, ref, wanted) if name is not None]
    there, here, *more = await clone.objects(*names)
    told = more[0] if more else None
    if there is not None and is_news:
        if here is not None and here == told and not await _has(clone, there, here):
            kept = f"refs/coord/salvage/{session}/wip-{here[:12]}"
            await clone.run(["update-ref", kept, here])
        return there
    if told is not None and told in (there, here):
        return told
    return there or here or told


async def _fetch(clone: Clone, ref: str, copy: str) -> bool:
    """Whether what the repository has was not known here: then another spoke has saved it, which
    had taken over what was sent from here. Raises GitFailed."""
    argv = ["ls-remote", "--quiet", "--", clone.url, ref]
    said = await clone.run(argv, timeout=FETCH_SECONDS)
    found = [line.split("\t")[0] for line in said.splitlines() if line.endswith(f"\t{ref}")]
    if not found:
        return False
    before = await clone.objects(f"{found[0]}^{{commit}}")
    await clone.run([*_FETCH, "--", clone.url, f"+{ref}:{copy}"], timeout=FETCH_SECONDS)
    return await clone.objects(f"{copy}^{{commit}}") != before


async def _parts(clone: Clone, commit: str, session: str) -> tuple[str | None, str | None]:
    """The branch's commit and the files of a saved state: see `spoke.saving`."""
    parents, said = await _read(clone, commit)
    if said != WORK + session:
        return commit, None
    commits = [sha for sha in parents if (await _read(clone, sha))[1] != STAGED + session]
    return (commits[-1] if commits else None), commit


async def _read(clone: Clone, commit: str) -> tuple[Sequence[str], str]:
    """The parents of a commit and the first line that it says."""
    head, _, text = (await clone.run(["cat-file", "commit", commit])).partition("\n\n")
    words = [line.split(" ") for line in head.splitlines()]
    return [word[1] for word in words if word[0] == "parent"], text.partition("\n")[0]


async def _has(clone: Clone, commit: str, older: str) -> bool:
    return not int(await clone.run(["rev-list", "--count", older, "--not", commit]))
