"""What placement saw last: where who comes alone may be placed as soon as it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hub.core import placement


@dataclass(slots=True)
class Outlook:
    """A guess, which may be old: the database has the last word on each of its rooms."""

    rooms: Sequence[placement.Room] = ()

    def room_for(self, session: placement.Waiting) -> placement.Room | None:
        return placement.at_once(session, self.rooms)

    def fill(self, spoke_id: str) -> None:
        """One more is there."""
        self.rooms = [
            replace(room, live=room.live + 1) if room.spoke_id == spoke_id else room
            for room in self.rooms
        ]
