"""Which waiting session goes to which spoke."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Waiting:
    session_id: str
    wanted_spoke: str | None  #: a spoke's id or name; nothing else will do
    requires: Mapping[str, str]
    sandbox: str = "off"


@dataclass(frozen=True, slots=True)
class Room:
    spoke_id: str
    name: str
    labels: Mapping[str, str]
    slots: int
    live: int
    sandboxes: Collection[str] = ("off",)

    def takes(self, session: Waiting) -> bool:
        return (
            self.live < self.slots
            and session.wanted_spoke in (None, self.spoke_id, self.name)
            and self.suits(session.requires, session.sandbox)
        )

    def suits(self, requires: Mapping[str, str], sandbox: str) -> bool:
        return requires.items() <= self.labels.items() and sandbox in self.sandboxes

    @property
    def load(self) -> float:
        return self.live / self.slots


@dataclass(frozen=True, slots=True)
class Place:
    session_id: str
    spoke_id: str


def decide(waiting: Sequence[Waiting], rooms: Sequence[Room]) -> list[Place]:
    """Each session, in order, to the least loaded spoke that takes it; those that fit nowhere wait
    and hold nobody up."""
    free = {room.spoke_id: room for room in rooms}
    places: list[Place] = []
    for session in waiting:
        fitting = [room for room in free.values() if room.takes(session)]
        if not fitting:
            continue
        best = min(fitting, key=lambda room: (room.load, room.spoke_id))
        free[best.spoke_id] = replace(best, live=best.live + 1)
        places.append(Place(session.session_id, best.spoke_id))
    return places
