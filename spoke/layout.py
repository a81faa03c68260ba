"""Where a clone and its worktrees lie on disk, and who may read which configuration.

Linked worktrees of one clone share its configuration, hooks and attributes, so that one agent's
`git config core.fsmonitor ...` would run in every other worktree and in the daemon. Here they
share objects, refs and reflogs, and nothing else:

    clones/<repo>/
      objects refs packed-refs logs shallow   what is shared
      control/       the daemon's view: its own config, hooks and info, and links to what is shared.
                     Each git of the daemon runs with GIT_COMMON_DIR here.
      commons/worktrees/<session>/            the admin directories (HEAD, index, ...), which git
                     looks for in one place. A worktree that an agent adds by itself takes
                     commons/ for its common directory: a view whose config stays empty.
      notes/         what the daemon knows of each worktree
      papers/        what those of the pool will need, see `papers`
    views/<repo>/<session>/                   the agent's view: config, hooks and info of its own
    worktrees/<repo>/<session>/               the files
    pool/<repo>/<name>/                       worktrees nobody has yet
    trash/                                    to be deleted
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spoke.gitconfig import quoted
from spoke.inplace import put

_SHARED: Final = ("objects", "refs", "packed-refs", "logs", "shallow")
_NARROW: Final = {"refs": ("heads", "tags", "remotes"), "logs/refs": ("heads", "remotes")}
_PACKED: Final = "packed"
_HEAD: Final = "ref: refs/heads/main\n"  # a view is bare: this names no branch in use
_CONFIG: Final = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tlogAllRefUpdates = true
"""
_AGENT_CONFIG: Final = """\
[gc]
\tauto = 0
[maintenance]
\tauto = false
[push]
\tautoSetupRemote = true
[remote "origin"]
\turl = {url}
\tfetch = +refs/heads/*:refs/remotes/origin/*
"""
_LOCK_WORD: Final = "coord\n"  # keeps an agent's `git worktree prune` from taking it away


def build_clone(root: Path) -> None:
    """Makes an empty clone at `root`, which does not exist yet."""
    root.mkdir(mode=0o700, parents=True)
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "logs/refs", "notes"):
        (root / folder).mkdir(parents=True)
    _build_view(root / "commons", "..", _CONFIG, worktrees=None)
    (root / "commons/worktrees").mkdir()
    _build_view(root / "control", "..", _CONFIG, worktrees="../commons/worktrees")
    (root / "control").chmod(0o700)
    for name in ("hooks", "info", ""):
        (root / "commons" / name).chmod(0o555)


def build_view(view: Path, clone: Path, url: str, author: Mapping[str, str]) -> None:
    """Makes an agent's view of `clone`: what that agent's `git config` and hooks touch."""
    _build_view(view, str(clone), _config(url, author), worktrees=f"{clone}/commons/worktrees")


def configure(view: Path, url: str, author: Mapping[str, str]) -> None:
    """Of a view that nobody has yet: `name` and `email`, where the source says who commits."""
    put(view / "config", _config(url, author).encode())


def _config(url: str, author: Mapping[str, str]) -> str:
    config = _CONFIG + _AGENT_CONFIG.format(url=quoted(url))
    if author:
        config += "[user]\n" + "".join(f"\t{key} = {quoted(author[key])}\n" for key in author)
    return config


def _build_view(view: Path, shared: str, config: str, *, worktrees: str | None) -> None:
    view.mkdir(parents=True)
    (view / "hooks").mkdir()
    (view / "info").mkdir()
    (view / "HEAD").write_text(_HEAD)
    (view / "config").write_text(config)
    for name in _SHARED:
        (view / name).symlink_to(f"{shared}/{name}")
    if worktrees is not None:
        (view / "worktrees").symlink_to(worktrees)


def narrow(view: Path, clone: Path) -> None:
    """Shares branches, tags and what was fetched, and no other refs: of an agent in a sandbox.

    Its stash, its notes and the refs that are packed are its own; what others have saved is out of
    its sight. git locks what is packed in its folder, so that this has to be one of its own.
    """
    for folder, shared in _NARROW.items():
        if (view / folder.partition("/")[0]).is_symlink():
            (view / folder.partition("/")[0]).unlink()
        (view / folder).mkdir(parents=True, exist_ok=True)
        for name in shared:
            (clone / folder / name).mkdir(parents=True, exist_ok=True)
            if not (view / folder / name).is_symlink():
                (view / folder / name).symlink_to(clone / folder / name)
    packed = view / _PACKED / "packed-refs"
    packed.parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        packed.write_bytes((clone / "packed-refs").read_bytes())
    link = view / "packed-refs"
    if link.readlink() != packed:
        link.unlink()
        link.symlink_to(packed)


def written(view: Path, clone: Path) -> list[str]:
    """What git writes where `narrow` was, beside the worktree and its admin directory."""
    shared = [clone / folder / name for folder, names in _NARROW.items() for name in names]
    own = [view / name for name in ("refs", "logs", _PACKED)]
    return [str(path) for path in (clone / "objects", *shared, *own)]


def build_admin(admin: Path, *, head: str, tree: Path, view: Path) -> None:
    """Makes the admin directory by which git knows the worktree at `tree`; `head` as in HEAD.

    It comes with its lock: an agent's `git worktree prune` takes away one that has none so far.
    """
    fresh = view / "admin"
    fresh.mkdir()
    (fresh / "locked").write_text(_LOCK_WORD)
    point(fresh, head=head, view=view)
    fresh.rename(admin)
    link(admin, tree)


def link(admin: Path, tree: Path) -> None:
    """Makes the worktree and its admin directory point at each other."""
    put(f"{admin}/gitdir", os.fsencode(f"{tree}/.git\n"))
    put(f"{tree}/.git", os.fsencode(f"gitdir: {admin}\n"))


def point(admin: Path, *, head: str, view: Path) -> None:
    """Writes HEAD and the place of the view, one by one: who is cut between is rolled back."""
    put(f"{admin}/HEAD", f"{head}\n".encode())
    put(f"{admin}/commondir", os.fsencode(f"{view}\n"))


@dataclass(slots=True)
class Seal:
    """Whether the configuration that the daemon's git reads is still the one we wrote.

    `check` costs some twenty system calls. What was changed is put back, and `broken` counts.
    """

    clone: Path
    broken: int = 0
    _marks: dict[Path, tuple[int, int, int]] = field(
        default_factory=dict[Path, tuple[int, int, int]]
    )

    def check(self) -> bool:
        """True if nothing was changed since the last check; else it was put back as it was."""
        faults = list(self._faults())
        self.broken += bool(faults)
        return not faults

    def _faults(self) -> Iterator[Path]:
        for view in (self.clone / "control", self.clone / "commons"):
            for name, text in (("config", _CONFIG), ("HEAD", _HEAD)):
                if self._restored(view / name, text):
                    yield view / name
            for path in (*_inside(view / "hooks"), *_inside(view / "info"), view / "commondir"):
                if _removed(path):
                    yield path
            for name, target in _links(view.name).items():
                if _relinked(view / name, target):
                    yield view / name

    def _restored(self, path: Path, text: str) -> bool:
        with contextlib.suppress(OSError):
            found = os.lstat(path)
            mark = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
            if self._marks.get(path) == mark:
                return False
            if not path.is_symlink() and path.read_text(errors="replace") == text:
                self._marks[path] = mark
                return False
        _removed(path)
        with _writable(path.parent):
            path.write_text(text)
        return True


def _links(view: str) -> Mapping[str, str]:
    links = {name: f"../{name}" for name in _SHARED}
    return links | ({"worktrees": "../commons/worktrees"} if view == "control" else {})


def _inside(folder: Path) -> tuple[Path, ...]:
    try:
        return tuple(folder / name for name in os.listdir(folder))  # noqa: PTH208 - twice as fast
    except FileNotFoundError:
        with _writable(folder.parent):
            folder.mkdir()
    except NotADirectoryError:
        _removed(folder)
        with _writable(folder.parent):
            folder.mkdir()
    return ()


def _removed(path: Path) -> bool:
    """Takes a file, a link or a directory out of the way; False if there was none."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    with _writable(path.parent):
        if stat.S_ISDIR(mode):
            path.rename(path.parent.parent / f"tampered-{path.name}-{os.urandom(4).hex()}")
        else:
            path.unlink()
    return True


def _relinked(path: Path, target: str) -> bool:
    with contextlib.suppress(OSError):
        if os.readlink(path) == target:  # noqa: PTH115 - no Path is needed for it
            return False
    _removed(path)
    with _writable(path.parent):
        path.symlink_to(target)
    return True


@contextlib.contextmanager
def _writable(folder: Path) -> Generator[None]:
    mode = folder.stat().st_mode & 0o777
    folder.chmod(mode | 0o700)
    try:
        yield
    finally:
        folder.chmod(mode)
