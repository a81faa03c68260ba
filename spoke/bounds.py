"""The directory of worktrees, and what is strictly inside it: by path, device and inode."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from protocol.errors import FailedPrecondition, InvalidArgument
from protocol.words import is_id

_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Bounds:
    """`root`/<clone>/<session> and nothing else. `root` is made if it is not there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = root.stat()
        self._identity = (found.st_dev, found.st_ino)

    def parts(self, path: Path) -> tuple[str, str]:
        """The clone's name and the session of a worktree, by its path alone.

        Raises `InvalidArgument` BAD_PATH.
        """
        if len(path.parts) == len(self._root.parts) + 2 and path.parent.parent == self._root:
            name, session = path.parts[-2:]
            if name != ".." and is_id(session):
                return name, session
        raise InvalidArgument("BAD_PATH", f"{path} is not the path of a worktree of this spoke")

    @contextmanager
    def folder(self, name: str) -> Generator[int]:
        """The open directory of one clone's worktrees, reached without following a link.

        Raises FileNotFoundError if there is none, `FailedPrecondition` MOVED if the root is not
        the directory that it was, or one of the two is no directory but a link or a file.
        """
        with _folder(self._root) as managed:
            found = os.fstat(managed)
            if (found.st_dev, found.st_ino) != self._identity:
                raise FailedPrecondition("MOVED", f"{self._root} was replaced")
            with _folder(name, managed) as mine:
                yield mine


@contextmanager
def _folder(path: str | Path, within: int | None = None) -> Generator[int]:
    try:
        descriptor = os.open(path, _OPEN_FOLDER, dir_fd=within)
    except NotADirectoryError:
        raise FailedPrecondition("MOVED", f"{path} was replaced") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)
