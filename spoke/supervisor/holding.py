"""One process at a time in each conversation of an agent: a lock on a file of its name.

Agents of most kinds would let a second one write into it. The lock ends with the supervisor,
however that ends; the file is left only by one that was killed, and holds nobody up.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from spoke.supervisor.agent import BUSY, SpawnFailed

if TYPE_CHECKING:
    from spoke.supervisor.assignment import TalkOrder


def enter(order: TalkOrder | None) -> Conversations:
    """What its agent holds: its conversation, where that is known before it starts. Raises
    ``SpawnFailed``.
    """
    held = Conversations("" if order is None else order["conversations"])
    id = None if order is None else order["agentSessionId"]
    if order is None or id is None:
        return held
    try:
        is_ours = held.take(order["tongue"], id)
    except OSError as error:
        raise SpawnFailed("SPAWN_FAILED", f"its conversation cannot be locked: {error}") from error
    if not is_ours:
        raise SpawnFailed(BUSY, f"another process is in the conversation {id}")
    return held


class Conversations:
    """``folder``: where those of this spoke are."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def take(self, agent: str, id: str) -> bool:
        """Whether nobody else is in it; it is ours until `leave`. Raises OSError."""
        path = self._path(agent, id)
        while path not in self._held:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            if _is_there(lock, path):
                self._held[path] = lock
            else:  # its last holder took it away meanwhile
                os.close(lock)
        return True

    def take_new(self, agent: str, id: str) -> None:
        """One that was begun a moment ago: nobody else is in it. On a full disk it goes without a
        lock: an agent that works is not ended for that."""
        with suppress(OSError):
            self.take(agent, id)

    def leave(self) -> None:
        """What cannot be taken away holds nobody up, and the end is still to be written."""
        for path, lock in self._held.items():
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108 - pathlib costs 10 ms at start
            os.close(lock)
        self._held.clear()

    def _path(self, agent: str, id: str) -> str:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)  # noqa: PTH103 - as above
        from hashlib import blake2s  # others do not wait for it, nor for the 600 KB that it loads

        name = blake2s(f"{agent} {id}".encode(), digest_size=16).hexdigest()
        return f"{self._folder}/{name}"


def _is_there(lock: int, path: str) -> bool:
    ours = os.fstat(lock)
    try:
        there = os.stat(path)  # noqa: PTH116 - as above
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
