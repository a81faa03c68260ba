"""The fence of an attempt that may be started elsewhere: without contact, it ends itself first.

The daemon writes down when it said what the hub has since confirmed to have heard. The hub starts a
replacement only when its own time for that, which is longer, is over; so there are never two who
write. It is for the supervisor to do, because a daemon may be dead just when it matters. The clock
counts the time that a machine sleeps as well.
"""

from __future__ import annotations

import time

from spoke.supervisor.tree import boot_id

LOOK_SECONDS = 1.0
FENCED = "FENCED"  # the reason of the stop


class Fence:
    def __init__(self, path: str, ms: int) -> None:
        self._path = path
        self._ms = ms
        self._boot = boot_id()
        self._contact = now_ms()  # the order itself was heard

    def is_over(self) -> bool:
        """Whether the hub may by now believe that this attempt is lost."""
        self._contact = max(self._contact, self._written())
        return now_ms() - self._contact > self._ms

    def _written(self) -> int:
        """0: nobody has written since this machine was started."""
        try:
            with open(self._path) as file:  # noqa: PTH123 - pathlib costs 10 ms at start
                boot, _, at = file.read().partition(" ")
        except (OSError, UnicodeDecodeError):
            return 0
        return min(int(at), now_ms()) if boot == self._boot and at.isdecimal() else 0


def now_ms() -> int:
    """Since the boot, sleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
