"""When the hub last heard this machine, as far as it has confirmed that: for the fences."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final

from spoke.supervisor.assignment import write_whole
from spoke.supervisor.fence import now_ms
from spoke.sweep import boot_id

_log = logging.getLogger(__name__)

_KEPT: Final = 64  #: beats that are not confirmed yet; older ones no longer matter


class Contact:
    """Any thread may call. What counts is when a thing was said, not when it was confirmed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._boot = boot_id()
        self._lock = threading.Lock()
        self._said: dict[int, int] = {}
        self._number = 0
        self._last = 0

    def saying(self) -> int:
        """Something is about to be said; the number under which it will be confirmed."""
        with self._lock:
            self._number += 1
            self._said[self._number] = now_ms()
            if len(self._said) > _KEPT:
                del self._said[min(self._said)]
            return self._number

    def confirmed(self, number: int) -> None:
        """The hub has heard it, and has written that down."""
        with self._lock:
            at = self._said.pop(number, None)
            if at is None or at <= self._last:
                return
            self._last = at
            try:
                write_whole(str(self._path), f"{self._boot} {at}".encode())
            except OSError as error:  # the fences are then as careful as before
                _log.warning("the time of the last contact was not written: %s", error)
