"""Which spokes are out of reach, and whether the reaper may believe its own eyes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

GRACE_SECONDS: Final = 120.0  #: after a start, or a time without the database, no lease expires
LOOP_GAP_SECONDS: Final = 5.0  #: a reaper that slept longer than this saw nothing
STORM_SHARE: Final = 0.30  #: more than this at once is more likely our fault than theirs,
STORM_LEAST: Final = 5  #: where it is at least this many


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``expired``: online spokes whose lease is over; ``gap``: seconds since the reaper looked."""

    online: int
    expired: Sequence[str]
    uptime: float
    gap: float


def decide(snapshot: Snapshot) -> list[str]:
    """The spokes to call out of reach now."""
    if snapshot.uptime < GRACE_SECONDS or snapshot.gap > LOOP_GAP_SECONDS:
        return []
    many = len(snapshot.expired)
    if many >= STORM_LEAST and many > STORM_SHARE * snapshot.online:
        return []
    return list(snapshot.expired)
