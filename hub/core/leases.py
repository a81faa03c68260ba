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
    """``expired``: online spokes whose lease is over; ``gap``: seconds since the reaper looked;
    ``uptime``: since it began to lead, or could look again; ``grace``: how long it then waits."""

    online: int
    expired: Sequence[str]
    uptime: float
    gap: float
    grace: float = GRACE_SECONDS


@dataclass(frozen=True, slots=True)
class Look:
    """The spokes to call out of reach now; or why none is, where some could be."""

    expired: Sequence[str] = ()
    doubt: str | None = None

    @property
    def may_give_up(self) -> bool:
        """Whether what has been out of reach for too long may be given up."""
        return self.doubt is None


def look(snapshot: Snapshot) -> Look:
    many = len(snapshot.expired)
    if snapshot.uptime < snapshot.grace:
        left = snapshot.grace - snapshot.uptime
        return Look(doubt=f"a start or an outage is not long ago: nobody for {left:.0f} s more")
    if snapshot.gap > LOOP_GAP_SECONDS:
        return Look(doubt=f"the hub itself saw nothing for {snapshot.gap:.0f} s")
    if many >= STORM_LEAST and many > STORM_SHARE * snapshot.online:
        return Look(
            doubt=f"{many} of {snapshot.online} spokes at once: more likely our fault than theirs"
        )
    return Look(expired=list(snapshot.expired))
