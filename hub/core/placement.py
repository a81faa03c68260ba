"""Which waiting session goes to which spoke."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class Waiting:
    session_id: str
    wanted_spoke: str | None  #: a spoke's id or name; nothing else will do
    requires: Mapping[str, str]
    sandbox: str = "off"
    agent: str = "command"


@dataclass(frozen=True, slots=True)
class Room:
    spoke_id: str
    name: str
    labels: Mapping[str, str]
    slots: int
    live: int
    sandboxes: Collection[str] = ("off",)
    agents: Collection[str] | None = None  #: that it can start; None: it does not say
    epoch: int = 0  #: of the connection that said so

    def fits(self, session: Waiting) -> bool:
        """Whether it may go there, as soon as there is room."""
        wanted = session.wanted_spoke in (None, self.spoke_id, self.name)
        return wanted and self.suits(session.requires, session.sandbox)

    def has(self, agent: str) -> bool:
        return self.agents is None or agent in self.agents

    def suits(self, requires: Mapping[str, str], sandbox: str) -> bool:
        return requires.items() <= self.labels.items() and sandbox in self.sandboxes

    @property
    def load(self) -> float:
        return self.live / self.slots


@dataclass(frozen=True, slots=True)
class Place:
    session_id: str
    spoke_id: str


def agents_said(value: JsonValue) -> frozenset[str] | None:
    """Of what a spoke says of itself: the agents that it can start, if it says that."""
    if not isinstance(value, list):
        return None
    return frozenset(one for one in value if isinstance(one, str))


def places_for(session: Waiting, rooms: Sequence[Room]) -> list[Room]:
    """Where it may go, full or not: to spokes that have its agent. Where none of those that fit
    has it, to each of them: it fails there at once, and says why.
    """
    fitting = [room for room in rooms if room.fits(session)]
    return [room for room in fitting if room.has(session.agent)] or fitting


def decide(waiting: Sequence[Waiting], rooms: Sequence[Room]) -> list[Place]:
    """Each session, in order, to the least loaded spoke that takes it; those that fit nowhere wait
    and hold nobody up."""
    free = {room.spoke_id: room for room in rooms}
    places: list[Place] = []
    for session in waiting:
        now = [free[room.spoke_id] for room in places_for(session, rooms)]
        with_room = [room for room in now if room.live < room.slots]
        if not with_room:
            continue
        best = min(with_room, key=lambda room: (room.load, room.spoke_id))
        free[best.spoke_id] = replace(best, live=best.live + 1)
        places.append(Place(session.session_id, best.spoke_id))
    return places


def at_once(session: Waiting, rooms: Sequence[Room]) -> Room | None:
    """Where a session goes that comes to an empty queue, by what was seen a while ago: only to a
    spoke that has its agent. That nobody has it is for a new look to say."""
    having = [room for room in rooms if room.has(session.agent)]
    chosen = {place.spoke_id for place in decide([session], having)}
    return next((room for room in having if room.spoke_id in chosen), None)
