"""The assignment of a session as a file in its worktree, which git leaves out.

It lies in a folder that ignores itself: whichever git looks at the worktree, with whatever
configuration, leaves it out, and no file of the repository is changed for it. What an agent put in
its way is not followed: the folder is opened as it is, and the files are replaced.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

FOLDER: Final = ".coord"
NAME: Final = "MISSION.md"

_log = logging.getLogger(__name__)

_IGNORE: Final = "*\n"
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write(worktree: Path, text: str) -> bool:
    """Whether it was written: not where the repository has a folder of that name. Blocks."""
    try:
        with _Folder(worktree) as folder:
            if not folder.is_ours():
                return False
            folder.put(".gitignore", _IGNORE)
            folder.put(NAME, text)
    except OSError as error:  # the prompt says the same: it is no reason not to begin
        _log.warning("no %s in %s: %s", NAME, worktree, error)
        return False
    return True


class _Folder:
    def __init__(self, worktree: Path) -> None:
        self._path = worktree / FOLDER

    def __enter__(self) -> Self:
        if not os.path.lexists(self._path):
            self._path.mkdir()
        self._fd = os.open(self._path, _OPEN)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def is_ours(self) -> bool:
        """Empty, or it ignores itself as we made it."""
        names = os.listdir(self._fd)  # noqa: PTH208 - of what is open, whatever its path is by now
        if ".gitignore" not in names:
            return not names
        try:
            fd = os.open(".gitignore", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._fd)
        except OSError:
            return False
        with os.fdopen(fd, "rb") as file:
            return file.read(len(_IGNORE) + 1) == _IGNORE.encode()

    def put(self, name: str, text: str) -> None:
        draft = f"{name}.new"
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=self._fd)
        fd = os.open(draft, _NEW, 0o600, dir_fd=self._fd)
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode(errors="replace"))
        os.replace(draft, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
