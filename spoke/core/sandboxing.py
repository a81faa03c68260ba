"""What an agent in a sandbox may reach: a table of paths with rights on all below each. Pure.

Rights are Landlock's. They add up: what lies below an allowed folder cannot be taken out again, so
that what must stay shut is never below one that is open.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

Level = Literal["worktree", "read-only"]


class Right(enum.IntFlag):
    """The kernel's numbers."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


def known(abi: int) -> Right:
    """All that a kernel with this version of Landlock keeps from those who were not given it."""
    count = 13 if abi < 2 else 14 if abi < 3 else 15 if abi < 5 else 16
    return Right((1 << count) - 1)


#: What may be said of a file that is no folder.
ON_FILES: Final = (
    Right.EXECUTE | Right.WRITE_FILE | Right.READ_FILE | Right.TRUNCATE | Right.IOCTL_DEV
)
READ: Final = Right.EXECUTE | Right.READ_FILE | Right.READ_DIR
CHANGE: Final = (
    READ
    | Right.WRITE_FILE | Right.TRUNCATE | Right.REMOVE_DIR | Right.REMOVE_FILE | Right.MAKE_DIR
    | Right.MAKE_REG | Right.MAKE_SOCK | Right.MAKE_FIFO | Right.MAKE_SYM | Right.REFER
)  # fmt: skip
#: Where others write as well, and would follow a link or wait at a pipe.
STORE: Final = CHANGE & ~(Right.MAKE_SYM | Right.MAKE_SOCK | Right.MAKE_FIFO)
LIST: Final = Right.READ_DIR
_DEVICE: Final = Right.READ_FILE | Right.WRITE_FILE | Right.IOCTL_DEV | Right.TRUNCATE

_DEVICES: Final = ("full", "null", "ptmx", "pts", "random", "tty", "urandom", "zero")


class Rule(NamedTuple):
    path: str
    rights: Right


class Ground(NamedTuple):
    """Where one attempt is at home; all paths absolute and without links.

    ``own``: folders that are its alone, such as for temporary files. ``kept``: what its agent keeps
    for itself. ``git``: what it needs to commit. ``given``: files that it only reads. ``open``:
    folders, or files, that anybody may read, found by `readable`.
    """

    worktree: str
    own: Sequence[str]
    kept: Sequence[str]
    git: Sequence[str]
    given: Sequence[str]
    open: Sequence[str]


def rules(level: Level, ground: Ground) -> list[Rule]:
    """Names are listed everywhere, so that `ls /` works; what is in the files is another matter."""
    tree, store = (CHANGE, STORE) if level == "worktree" else (READ, READ)
    return [
        Rule("/", LIST),
        *(Rule(path, READ) for path in (*ground.open, *ground.given)),
        *(Rule(f"/dev/{name}", _DEVICE) for name in _DEVICES),
        *(Rule(path, CHANGE) for path in (*ground.own, *ground.kept)),
        Rule(ground.worktree, tree),
        *(Rule(path, store) for path in ground.git),
    ]


def readable(hidden: Collection[str], inside: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """All there is but what is hidden, in as few paths as that takes.

    ``inside`` gives the paths in a folder, links left out: what they point at is somewhere itself.
    """
    above = {folder for path in hidden for folder in _above(path)}
    waiting = ["/"] if hidden else []
    if not hidden:
        yield "/"
    while waiting:
        for path in inside(waiting.pop()):
            if path in hidden:
                continue  # whatever is hidden in it as well
            if path in above:
                waiting.append(path)
            else:
                yield path


def outermost(paths: Sequence[str]) -> list[str]:
    """Without those that lie in others: who may change a folder could put a link in their place."""
    tops = set(paths)
    return [path for path in paths if not tops.intersection(_above(path))]


def exposed(opened: Iterable[str], hidden: Iterable[str]) -> str | None:
    """The first of the opened paths below which something hidden lies, or that is hidden itself."""
    wide = {folder for path in hidden for folder in (*_above(path), path)}
    return next((path for path in opened if path in wide), None)


def _above(path: str) -> Iterator[str]:
    parts = path.split("/")[1:-1]
    if path != "/":
        yield "/"
    for n in range(1, len(parts) + 1):
        yield "/" + "/".join(parts[:n])


def environment(env: Mapping[str, str], temp: str) -> dict[str, str]:
    """What is said to an agent in a sandbox: where its temporary files go, and a git that does not
    want to write down what it cannot."""
    count = env.get("GIT_CONFIG_COUNT", "")
    said = int(count) if count.isdecimal() else 0
    git = {"push.default": "current", "push.autoSetupRemote": "false"}
    told = {"TMPDIR": temp, "TMP": temp, "TEMP": temp, "GIT_CONFIG_COUNT": str(said + len(git))}
    for n, (name, value) in enumerate(git.items(), said):
        told[f"GIT_CONFIG_KEY_{n}"] = name
        told[f"GIT_CONFIG_VALUE_{n}"] = value
    return told
