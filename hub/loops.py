"""What happens by itself: look, ask a policy, apply what it decides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hub.bells import POLL_SECONDS, QUEUE, SPAWNED, outbox
from hub.core import leases, placement
from hub.desk import Desk
from hub.ops import views
from hub.ops.aborting import abort_one
from protocol.errors import CallError
from protocol.limits import HEARTBEAT_SECONDS
from protocol.session import State

logger = logging.getLogger(__name__)

PLACED_AT_ONCE = 256
PARTITION_DAYS = 3
AGAIN_SECONDS = 1.0  # after an error
HOUSE = "the hub"  # who asks, where nobody did


async def run(desk: Desk) -> None:
    """All loops, until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_forever("placement", Placement(desk).turn))
        group.create_task(_forever("leases", Leases(desk).turn))
        group.create_task(_forever("deadlines", Deadlines(desk).turn))
        group.create_task(_forever("partitions", Partitions(desk).turn))


async def _forever(name: str, turn: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await turn()
        except CallError as error:  # the database is away: what this loop does can wait
            logger.warning("%s: %s", name, error)
            await asyncio.sleep(AGAIN_SECONDS)


@dataclass(slots=True)
class Placement:
    """While no spoke has room, those who are spawned wake nobody: only room does."""

    desk: Desk
    full: bool = False

    async def turn(self) -> None:
        bells = self.desk.bells
        with bells.listening(QUEUE) as room, bells.listening(QUEUE, SPAWNED) as anything:
            while True:
                while await self._place():
                    pass
                await (room if self.full else anything).wait(POLL_SECONDS)

    async def _place(self) -> bool:
        """Whether anybody was placed."""
        desk = self.desk
        rooms = [
            placement.Room(row.spoke_id, row.name, views.labels(row.labels), row.slots, row.live)
            for row in await desk.store.outbox.room()
        ]
        self.full = not rooms
        if self.full:
            return False
        waiting = await desk.store.outbox.waiting([r.spoke_id for r in rooms], PLACED_AT_ONCE)
        attempts = {row.session_id: row.attempt + 1 for row in waiting}
        places = placement.decide(
            [
                placement.Waiting(row.session_id, row.wanted_spoke, views.labels(row.requires))
                for row in waiting
            ],
            rooms,
        )
        if not places:
            return False
        choices = [
            (p.session_id, p.spoke_id, desk.spokes.mint(p.session_id, attempts[p.session_id]))
            for p in places
        ]
        assigned = await desk.store.outbox.assign(choices)
        taken = {row.session_id for row in assigned if row.attempt is not None}
        desk.bells.ring(*taken, *{outbox(p.spoke_id) for p in places if p.session_id in taken})
        return bool(taken)


class Leases:
    """Keeps the leases of those who are heard, and calls out of reach those who are not."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._started = asyncio.get_running_loop().time()
        self._looked = self._started

    async def turn(self) -> None:
        await asyncio.sleep(HEARTBEAT_SECONDS / 4)
        desk, now = self._desk, asyncio.get_running_loop().time()
        try:
            if heard := desk.spokes.heard_since():
                await desk.store.exchange.renew(heard, desk.settings.lease_seconds)
            rows = await desk.store.exchange.leases()
        except CallError:
            self._started = asyncio.get_running_loop().time()  # leases aged while we could not look
            raise
        expired = [row.spoke_id for row in rows if row.expired]
        snapshot = leases.Snapshot(len(rows), expired, now - self._started, now - self._looked)
        self._looked = now
        for spoke_id in leases.decide(snapshot):
            if await desk.store.exchange.expire(spoke_id):
                logger.warning("spoke %s is out of reach", spoke_id)
                desk.links.cut(spoke_id)  # what it holds is compared when it says hello again
        desk.bells.ring(*await desk.store.exchange.lose_contact())
        await self._give_up()

    async def _give_up(self) -> None:
        desk = self._desk
        after = desk.settings.lost_after_seconds
        for row in await desk.store.exchange.long_unknown(after):
            why = f"out of reach for more than {after / 60:.0f} minutes"
            await desk.store.exchange.give_up(row.session_id, row.attempt, why)
            desk.bells.ring(row.session_id, QUEUE)
        for row in await desk.store.exchange.left_on_revoked():
            await desk.store.exchange.give_up(row.session_id, row.attempt, "its spoke was revoked")
            desk.bells.ring(row.session_id, QUEUE)


@dataclass(slots=True)
class Deadlines:
    """Times that are over: to be placed, to run, to take a start order."""

    desk: Desk

    async def turn(self) -> None:
        await asyncio.sleep(POLL_SECONDS)
        desk = self.desk
        for row in await desk.store.sessions.overdue():
            why = (
                "not placed in time (queueTimeoutMs)"
                if row.state is State.QUEUED
                else "its time to run is over (runTimeoutMs)"
            )
            await abort_one(desk, row.session_id, HOUSE, why)
        for silent in await desk.store.outbox.silent(desk.settings.start_ack_seconds):
            why = "its spoke did not take the order in time"
            await desk.store.outbox.refused(silent.session_id, silent.attempt, why)
            desk.bells.ring(silent.session_id, QUEUE)


@dataclass(slots=True)
class Partitions:
    desk: Desk

    async def turn(self) -> None:
        await self.desk.store.access.ensure_partitions(PARTITION_DAYS)
        await asyncio.sleep(3_600)
