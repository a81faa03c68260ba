"""Where one worktree lies (files, view, admin directory), and moving the three as one."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spoke import layout
from spoke.clones import Clone
from spoke.flight import in_thread
from spoke.trash import Trash

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """The three directories of a worktree. `tree` may be occupied by anything, `admin` by git."""

    tree: Path
    view: Path
    admin: Path

    @classmethod
    def of(cls, root: Path, clone: Path, folder: str, name: str) -> Place:
        """Below `root`/`folder`, for the clone at `clone`; `name` is unique in the clone."""
        return cls(
            tree=root / folder / clone.name / name,
            view=root / "views" / clone.name / name,
            admin=clone / "commons/worktrees" / name,
        )

    def occupied(self) -> bool:
        return any(os.path.lexists(path) for path in self._all())

    def whole(self) -> bool:
        return self.tree.is_dir() and (self.admin / "HEAD").exists() and self.view.is_dir()

    def build(self, clone: Clone, commit: str, author: Mapping[str, str]) -> None:
        """Makes the three, with no files checked out yet."""
        layout.build_view(self.view, clone.path, clone.url, author)
        self.tree.mkdir(parents=True)
        layout.build_admin(self.admin, head=commit, tree=self.tree, view=self.view)

    def adopt(self, other: Place, branch: str) -> None:
        """Takes over what is at `other`, on a branch. Agents' git sees it when all is done."""
        self.tree.parent.mkdir(parents=True, exist_ok=True)  # views and admin directories share one
        other.view.rename(self.view)
        other.tree.rename(self.tree)
        layout.point(other.admin, head=f"ref: refs/heads/{branch}", view=self.view)
        other.admin.rename(self.admin)
        layout.link(self.admin, self.tree)

    def rewritten(self) -> tuple[Path, ...]:
        """The files that say where it is and on which branch."""
        admin = self.admin
        return admin / "HEAD", admin / "commondir", admin / "gitdir", self.tree / ".git"

    def discard(self, trash: Trash) -> None:
        """Throws away whatever is there of the three."""
        for path in self._all():
            trash.throw(path)

    def git_env(self, **more: str) -> Mapping[str, str]:
        """For git in the admin directory: the files are at `tree`."""
        return {"GIT_WORK_TREE": str(self.tree), **more}

    async def check_out(
        self, clone: Clone, commit: str, author: Mapping[str, str], *, niceness: int = 0
    ) -> None:
        """Makes the three and checks `commit` out, detached. `author`: see `layout.configure`."""
        await in_thread(self.build, clone, commit, author)
        argv = ["read-tree", "-m", "-u", commit]
        await clone.run(argv, git_dir=self.admin, env=self.git_env(), niceness=niceness)

    async def change(self, clone: Clone, old: str, new: str) -> None:
        """From one commit to another; only files that differ are touched."""
        argv = ["read-tree", "-m", "-u", old, new]
        await clone.run(argv, git_dir=self.admin, env=self.git_env())

    def _all(self) -> tuple[Path, Path, Path]:
        return self.admin, self.tree, self.view


def discard(places: Sequence[Place], trash: Trash) -> bool:
    """False: something of them is still there."""
    try:
        for place in places:
            place.discard(trash)
    except OSError as error:
        _log.warning("a rollback is not complete: %s", error)
        return False
    return True
