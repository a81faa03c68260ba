"""The unix socket of a supervisor, which may be there before the work whose name it gets."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import NamedTuple

SPARE = "spare-"  #: begins the name of one that has no work, and its pid ends it
_WAITING = 1024


class Doorway(NamedTuple):
    """Listens on ``path`` (mode 0600)."""

    path: str
    listener: socket.socket

    @classmethod
    def at(cls, path: str) -> Doorway:
        """Raises OSError."""
        _unlink(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        before = os.umask(0o177)
        try:
            listener.bind(path)
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(before)
        listener.listen(_WAITING)
        return cls(path, listener)

    def moved(self, path: str) -> Doorway:
        """The same, by another name: a rename is a twentieth of a new one. Raises OSError."""
        os.replace(self.path, path)  # noqa: PTH105 - pathlib costs 10 ms at start
        return Doorway(path, self.listener)

    def unlink(self) -> None:
        """Nobody finds it any more; who waits at it, does so until this process ends."""
        _unlink(self.path)


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - as above
