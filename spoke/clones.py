"""The spoke's own clones: one for each repository, fetched when needed, never shown to an agent."""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from protocol.errors import InvalidArgument, NotFound
from protocol.words import check_base, check_repo, repo_slug
from spoke import layout
from spoke.authors import OfSource
from spoke.flight import Flights, in_thread, until_done
from spoke.git import TIMEOUT, Git, GitFailed
from spoke.source import Signature, signature, tip

FETCH_TIMEOUT: Final = 1800.0  #: seconds; a first fetch of a large repository
MAX_AGE: Final = 5.0  #: seconds for which a fetch from a remote counts as fresh
ORIGIN_HEAD: Final = "refs/coord/origin/HEAD"  #: the remote's default branch, as last fetched
_HEADS: Final = "+refs/heads/*:refs/remotes/origin/*"
_FETCH: Final = (
    "fetch",
    "--quiet",
    "--prune",
    "--tags",
    "--force",
    "--update-shallow",
    "--no-write-fetch-head",
    "--no-recurse-submodules",
)
_HEX: Final = re.compile(r"[0-9a-f]{7,64}\Z", re.IGNORECASE)
_LOOSE: Final = re.compile(rb"(?P<sha>[0-9a-f]{40}|[0-9a-f]{64})\n\Z")
_FOUND: Final = re.compile(r"(?P<sha>[0-9a-f]{40,64}) (?P<kind>commit|tree|tag|blob) \d+\Z")


class Clones:
    """The clones below `root`/clones. `allow_local` admits absolute paths as repositories."""

    def __init__(
        self, root: Path, git: Git, *, allow_local: bool = False, max_age: float = MAX_AGE
    ) -> None:
        self._root = root / "clones"
        self._git = git
        self._allow_local = allow_local
        self._max_age = max_age
        self._open: dict[str, Clone] = {}
        self._making: Flights[Clone] = Flights()
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def get(self, repo: str) -> Clone:
        """The clone of `repo`, made and fetched if there is none yet.

        Raises `InvalidArgument` BAD_REPO_URL, `GitFailed`.
        """
        check_repo(repo, allow_local=self._allow_local)
        name = repo_slug(repo)
        return self._open.get(name) or await self._making.join(name, lambda: self._make(repo, name))

    def at(self, name: str) -> Clone:
        """The clone in the directory `name`; raises `NotFound` NO_CLONE."""
        if name not in self._open:
            try:
                found: object = json.loads((self._root / name / "notes/repo").read_text())
            except (OSError, ValueError) as error:
                raise NotFound("NO_CLONE", f"there is no clone {name} on this spoke") from error
            self._open[name] = Clone(str(found), self._root / name, self._git, self._max_age)
        return self._open[name]

    def names(self) -> tuple[str, ...]:
        """The directory names of all clones on disk."""
        return tuple(sorted(path.parent.parent.name for path in self._root.glob("*/notes/repo")))

    async def _make(self, repo: str, name: str) -> Clone:
        final = self._root / name
        if not (final / "notes/repo").exists():
            temporary = self._root / f".new-{name}"
            await in_thread(_rebuild, temporary, repo)
            clone = Clone(repo, temporary, self._git, self._max_age)
            try:
                await clone.fetch()
                clone.move(final)
            except BaseException:
                await until_done(asyncio.to_thread(_erase, temporary))
                raise
            self._open[name] = clone
        return self.at(name)


class Clone:
    """One clone. Every git of the daemon goes through `run`, which looks at the seal first."""

    def __init__(self, url: str, path: Path, git: Git, max_age: float) -> None:
        self.url = url
        self.path = path
        self.control = path / "control"
        self.seal = layout.Seal(path)
        self._git = git
        self._max_age = max_age
        self._fetched_at = float("-inf")
        self._signature: Signature | None = None
        self.default: str | None = None  #: as last fetched; kept here too: agents can write refs
        self._fetches: Flights[None] = Flights()
        self.author = OfSource(git, url)

    def move(self, path: Path) -> None:
        """Renames the directory of the clone, which has no worktrees yet."""
        self.path.rename(path)
        self.path = path
        self.control = path / "control"
        self.seal = layout.Seal(path)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def tampered(self) -> bool:
        """Whether what the daemon's git reads was ever found changed, and put back."""
        return self.seal.broken > 0

    async def run(
        self,
        argv: Sequence[str],
        *,
        git_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - it ends git, not only the wait
        niceness: int = 0,
    ) -> str:
        """git in the daemon's view of this clone, or in `git_dir`, one of its admin directories."""
        self.seal.check()
        return await self._git.run(
            argv,
            git_dir=git_dir or self.control,
            env={"GIT_COMMON_DIR": str(self.control), **(env or {})},
            stdin=stdin,
            timeout=timeout,
            niceness=niceness,
        )

    async def fresh(self) -> None:
        """Returns when the clone knows what the source knew at the time of the call.

        For a remote URL, what it knew less than `max_age` seconds ago will do.
        """
        for _ in range(2):  # a fetch under way may have begun before the call
            if await self._is_fresh():
                return
            await self._fetches.join("fetch", self.fetch)

    async def know(self, base: str | None) -> None:
        """Returns when `resolve` finds what the source had for `base` at the time of the call.

        Most sources changed somewhere else: agents push to them all the time. Raises
        `InvalidArgument` BAD_REF.
        """
        if base is not None:
            check_base(base)
        if not await in_thread(self.is_current, base):
            await self.fresh()

    def at_hand(self, base: str | None) -> str | None:
        """What `resolve` gives, where that takes no git. Raises `InvalidArgument` BAD_REF."""
        if base is None:
            return self.default
        check_base(base)
        return _loose(self.path / "refs/remotes/origin" / base)

    def is_current(self, base: str | None) -> bool:
        """Whether what is `at_hand` is what the source has now. Waits for the disk."""
        if not self.url.startswith("/"):
            return self._is_young()
        here = self.at_hand(base)
        return here is not None and here == tip(Path(self.url), base)

    def _is_young(self) -> bool:
        return time.monotonic() - self._fetched_at < self._max_age

    async def _is_fresh(self) -> bool:
        if not self.url.startswith("/"):
            return self._is_young()
        now = await asyncio.to_thread(signature, Path(self.url))
        return now is not None and now == self._signature

    async def fetch(self) -> None:
        """Takes over branches, tags and the default branch of the source."""
        began = time.monotonic()
        seen = None
        if self.url.startswith("/"):
            seen = await asyncio.to_thread(signature, Path(self.url))
        try:
            await self._fetch(_HEADS, f"+HEAD:{ORIGIN_HEAD}")
        except GitFailed as failure:
            if "couldn't find remote ref HEAD" not in failure.stderr:
                raise
            await self._fetch(_HEADS)  # its HEAD names a branch without commits
            await self.run(["update-ref", "-d", ORIGIN_HEAD])
        (self.default,) = await self.objects(f"{ORIGIN_HEAD}^{{commit}}")
        self._fetched_at = began
        self._signature = seen

    async def _fetch(self, *refspecs: str) -> None:
        await self.run([*_FETCH, "--", self.url, *refspecs], timeout=FETCH_TIMEOUT)

    async def resolve(self, base: str | None) -> str:
        """The commit that `base` names; None is the source's default branch.

        A branch of the source comes first, then a tag, a branch of a session, a commit id. Raises
        `InvalidArgument` BAD_REF.
        """
        if (found := self.at_hand(base)) is not None:
            return found
        if base is None:
            found = (await self.objects(f"{ORIGIN_HEAD}^{{commit}}"))[0]
            if found is None:
                raise _no_base("the default branch", "give a base: the source has no commit there")
            return found
        places = ["refs/remotes/origin/", "refs/tags/", "refs/heads/"]
        names = [f"{place}{base}^{{commit}}" for place in places]
        if _HEX.match(base):
            names.append(f"{base}^{{commit}}")
        found = next((sha for sha in await self.objects(*names) if sha is not None), None)
        if found is None:
            raise _no_base(base, await self._near(base))
        return found

    async def tip(self, branch: str) -> str | None:
        """The commit of a branch of this clone."""
        if self.is_at_default(branch):
            return self.default
        return (await self.objects(f"refs/heads/{branch}"))[0]

    def is_at_default(self, branch: str) -> bool:
        """Whether a branch of this clone is seen, without git, to be where the source's default
        branch was when last fetched."""
        return self.default is not None and self.default == _loose(
            self.path / "refs/heads" / branch
        )

    async def objects(self, *names: str, git_dir: Path | None = None) -> list[str | None]:
        """The ids of these objects, in their order; None for what there is not. One git for all."""
        ask = "".join(f"{name}\n" for name in names).encode()
        said = await self.run(["cat-file", "--batch-check"], stdin=ask, git_dir=git_dir)
        return [
            match["sha"] if (match := _FOUND.match(line)) else None for line in said.splitlines()
        ]

    async def _near(self, base: str) -> str:
        roots = ("refs/remotes/origin", "refs/tags")
        said = await self.run(["for-each-ref", "--format=%(refname)", *roots])
        known = [
            name.split("/", 3 if name.startswith("refs/remotes") else 2)[-1]
            for name in said.split()
        ]
        near = difflib.get_close_matches(base, known, n=3, cutoff=0.5) or known[:3]
        return f"it has {', '.join(near)}" if near else "the repository has no commits yet"


def _loose(path: Path) -> str | None:
    """The commit of a branch whose ref is a file of its own: saves the start of a git."""
    try:
        with path.open("rb") as text:
            match = _LOOSE.match(text.read(80))
    except (OSError, ValueError):
        return None
    return None if match is None else match["sha"].decode()


def _no_base(base: str, advice: str) -> InvalidArgument:
    return InvalidArgument(
        "BAD_REF", f"{base} names no commit here", advice=advice, details={"field": "base"}
    )


def _rebuild(temporary: Path, repo: str) -> None:
    if temporary.exists():
        _erase(temporary)
    layout.build_clone(temporary)
    (temporary / "notes/repo").write_text(json.dumps(repo))


def _erase(clone: Path) -> None:
    """A clone that never came to be: nobody but us has written there."""
    for folder, _, _ in os.walk(clone):
        Path(folder).chmod(0o700)
    shutil.rmtree(clone)
