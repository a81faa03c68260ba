"""Duties of the leader that watch the time: deadlines, and how long things are kept."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from hub.bells import POLL_SECONDS, QUEUE
from hub.desk import Desk
from hub.duties.leading import Leader
from hub.ops import views
from hub.ops.aborting import abort_one
from hub.store.sessions import Filters
from protocol.errors import FailedPrecondition
from protocol.session import State

logger = logging.getLogger(__name__)

PARTITION_DAYS: Final = 3
REMEMBER_SECONDS: Final = 15.0
_LIVE: Final = Filters(None, None, ended=False, spoke=None, labels={}, before=None, limit=500)
TIDY_SECONDS: Final = 3_600.0
HOUSE: Final = "the hub"  #: who asks, where nobody did
_DAY: Final = 86_400.0


@dataclass(slots=True)
class Deadlines:
    """Times that are over: to be placed, to run, to take a start order."""

    desk: Desk
    leader: Leader

    async def turn(self) -> None:
        await asyncio.sleep(POLL_SECONDS)
        if self.leader.term is None:
            return
        desk = self.desk
        for row in await desk.store.sessions.overdue():
            why = (
                "not placed in time (queueTimeoutMs)"
                if row.state is State.QUEUED
                else "its time to run is over (runTimeoutMs)"
            )
            with suppress(FailedPrecondition):  # it moved on, and is not overdue any more
                await abort_one(desk, row.session_id, HOUSE, why, only_in=row.state)
        for silent in await desk.store.outbox.silent(desk.settings.start_ack_seconds):
            why = "its spoke did not take the order in time"
            await desk.store.outbox.refused(silent.session_id, silent.attempt, why)
            desk.bells.ring(silent.session_id, QUEUE)


@dataclass(slots=True)
class Remembering:
    """What a hub can say while the database is away. Every hub's, not the leader's alone."""

    desk: Desk

    async def turn(self) -> None:
        store, memory = self.desk.store, self.desk.memory
        memory.keep_spokes([views.spoke(row) for row in await store.exchange.spokes()])
        page = await store.sessions.page(_LIVE)
        rows = await store.sessions.views([row.session_id for row in page])
        memory.keep([views.session(row) for row in rows])
        await asyncio.sleep(REMEMBER_SECONDS)


@dataclass(slots=True)
class Retention:
    """Makes the partitions of the next days, and lets go of what was kept for long enough."""

    desk: Desk
    leader: Leader

    async def turn(self) -> None:
        store, settings = self.desk.store, self.desk.settings
        await store.access.ensure_partitions(PARTITION_DAYS)
        if self.leader.term is not None:
            await store.fleet.tidy(settings.orders_days * _DAY)
            await store.keys.tidy()
            if days := await store.fleet.drop_events(settings.events_days):
                logger.info("let go of the events of %d days", days)
        await asyncio.sleep(TIDY_SECONDS)
