"""A small file written where it is: without a draft, for nobody acts on it before all is done."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress


def put(path: os.PathLike[str] | str, text: bytes, mode: int = 0o666) -> None:
    """The file holds ``text`` and nothing else; made, with `mode`, if there is none.

    It costs a fifth of a draft and a rename. Who reads a file meanwhile that was there before finds
    the old text, or the new one with some empty lines behind it. Raises OSError, for a link too.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        size = os.fstat(fd).st_size
        os.pwrite(fd, text.ljust(size, b"\n"), 0)
        if size > len(text):
            os.ftruncate(fd, len(text))
    finally:
        os.close(fd)


def write_out(paths: Iterable[os.PathLike[str] | str]) -> None:
    """Begins to bring these files to the disk, which else is done after half a minute.

    A machine that dies before has the new names of what was renamed, and the old text in it. Not
    waited for, and so done when nobody waits.
    """
    for path in paths:
        with suppress(OSError):  # it was removed since: then there is nothing to keep
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)
