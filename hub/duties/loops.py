"""What happens by itself: look, ask a policy, apply what it decides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import JsonValue, TypeAdapter

from hub.bells import POLL_SECONDS, QUEUE, ROOM, SPAWNED
from hub.core import placement
from hub.desk import Desk
from hub.duties.deadlines import Deadlines, Remembering, Retention
from hub.duties.leading import Leader
from hub.duties.parking import Parking
from hub.duties.reaping import Reaper
from hub.duties.watching import Watch
from hub.fleet.waking import Waker
from hub.reception import Reception
from protocol import tokens
from protocol.errors import CallError

logger = logging.getLogger(__name__)

PLACED_AT_ONCE = 256
_ROOMS: TypeAdapter[list[tuple[str, str, dict[str, str], int, int, list[str], JsonValue, int]]] = (
    TypeAdapter(list[tuple[str, str, dict[str, str], int, int, list[str], JsonValue, int]])
)
_WAITING: TypeAdapter[list[tuple[str, str | None, dict[str, str], str, str]]] = TypeAdapter(
    list[tuple[str, str | None, dict[str, str], str, str]]
)
AGAIN_SECONDS = 1.0  # after an error


async def run(desk: Desk, waker: Waker, version: str) -> None:
    """All loops, until cancelled."""
    leader = Leader(desk.store.fleet, desk.instance, desk.health, asyncio.get_running_loop().time)
    watch = Watch(desk, waker, leader, version)
    async with asyncio.TaskGroup() as group:
        group.create_task(waker.run())
        group.create_task(_forever("watch", watch.turn))
        group.create_task(_forever("placement", Placement(desk).turn))
        group.create_task(_forever("outboxes", Outboxes(desk).turn))
        group.create_task(_forever("asks", Reception(desk).turn))
        group.create_task(_forever("reaper", Reaper(desk, leader).turn))
        group.create_task(_forever("deadlines", Deadlines(desk, leader).turn))
        group.create_task(_forever("parking", Parking(desk, leader).turn))
        group.create_task(_forever("memory", Remembering(desk).turn))
        group.create_task(_forever("retention", Retention(desk, leader).turn))


async def _forever(name: str, turn: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await turn()
        except CallError as error:  # the database is away: what this loop does can wait
            logger.warning("%s: %s", name, error)
            await asyncio.sleep(AGAIN_SECONDS)


@dataclass(slots=True)
class Placement:
    """While no spoke has room, those who are spawned wake nobody; while nobody waits, room does
    not."""

    desk: Desk
    full: bool = False
    idle: bool = False

    async def turn(self) -> None:
        bells = self.desk.bells
        with (
            bells.listening(QUEUE, ROOM) as room,
            bells.listening(QUEUE, SPAWNED) as work,
            bells.listening(QUEUE, SPAWNED, ROOM) as anything,
        ):
            while True:
                for bell in (room, work, anything):
                    bell.hush()  # whoever rang them is seen now
                while await self._place():
                    pass
                bell = room if self.full else work if self.idle else anything
                await bell.wait(POLL_SECONDS)

    async def _place(self) -> bool:
        """Whether somebody was placed, and more may be."""
        desk = self.desk
        scene = await desk.store.outbox.scene(PLACED_AT_ONCE)
        rooms = [
            placement.Room(*row[:-2], placement.agents_said(row[-2]), row[-1])
            for row in _ROOMS.validate_python(scene.rooms)
        ]
        waiting = [placement.Waiting(*row) for row in _WAITING.validate_python(scene.waiting)]
        self.full = all(room.live >= room.slots for room in rooms)
        self.idle = not scene.anybody
        desk.outlook.rooms = rooms
        places = placement.decide(waiting, rooms)
        if not places:
            return False
        minted = {place.session_id: tokens.new(tokens.Kind.SESSION) for place in places}
        placed = await desk.store.outbox.assign(
            [(p.session_id, p.spoke_id, tokens.digest(minted[p.session_id])) for p in places]
        )
        desk.spokes.deliver(placed, minted)
        for row in placed:
            desk.outlook.fill(row.spoke_id)
        desk.bells.ring(*(row.session_id for row in placed))
        was_all = len(waiting) < PLACED_AT_ONCE and len(placed) == len(places)
        return bool(placed) and not was_all


@dataclass(slots=True)
class Outboxes:
    """What another hub ordered, or could not be told when it was: one look for all spokes."""

    desk: Desk

    async def turn(self) -> None:
        await asyncio.sleep(POLL_SECONDS)
        await self.desk.spokes.look()
