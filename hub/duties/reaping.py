"""The reaper: what is out of reach, for how long, and when it is given up. The leader's duty.

Each step compares before it sets, in the database, so that a second reaper that still believes to
lead does nothing that the first would not do.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final

from hub.bells import QUEUE
from hub.core import leases
from hub.desk import Desk
from hub.duties.leading import Leader
from protocol.errors import CallError
from protocol.session import State

logger = logging.getLogger(__name__)

TURN_SECONDS: Final = 2.5


@dataclass(slots=True)
class Reaper:
    desk: Desk
    leader: Leader
    _calm_since: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    _looked: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    async def turn(self) -> None:
        await asyncio.sleep(TURN_SECONDS)
        now = asyncio.get_running_loop().time()
        gap, self._looked = now - self._looked, now
        term = self.leader.term
        if term is None:
            self.desk.health.doubt = None
            return
        try:
            await self._reap(term, now, gap)
        except CallError:
            self._calm_since = asyncio.get_running_loop().time()  # nobody could renew meanwhile
            raise

    async def _reap(self, term: int, now: float, gap: float) -> None:
        desk = self.desk
        await desk.store.fleet.orphan(desk.settings.lease_seconds)
        rows = await desk.store.fleet.leases()
        seen = leases.look(
            leases.Snapshot(
                online=len(rows),
                expired=[row.spoke_id for row in rows if row.expired],
                uptime=now - max(self._calm_since, self.leader.since),
                gap=gap,
                grace=desk.settings.grace_seconds,
            )
        )
        await self._say(term, seen.doubt)
        for spoke_id in seen.expired:
            if await desk.store.fleet.expire(spoke_id, term):
                logger.warning("spoke %s is out of reach", spoke_id)
        desk.bells.ring(*await desk.store.fleet.lose_contact())
        if seen.may_give_up:
            await self._replace()
            await self._give_up()
        await self._forget_revoked()

    async def _say(self, term: int, doubt: str | None) -> None:
        """In log, metrics, and to whoever asks any hub; only where it is another than before."""
        health = self.desk.health
        if doubt is not None:
            health.refusals += 1
        if (doubt is None) != (health.doubt is None):
            logger.warning("the reaper %s", "acts again" if doubt is None else f"waits: {doubt}")
            await self.desk.store.fleet.say_doubt(self.desk.instance, term, doubt)
        health.doubt = doubt

    async def _give_up(self) -> None:
        desk = self.desk
        after, laptops = desk.settings.lost_after_seconds, desk.settings.laptop_lost_after_seconds
        for row in await desk.store.fleet.long_unknown(after, laptops):
            await desk.store.exchange.give_up(
                row.session_id, row.attempt, "out of reach for too long", only_in=State.UNKNOWN
            )
            desk.bells.ring(row.session_id, QUEUE)

    async def _replace(self) -> None:
        desk = self.desk
        for row in await desk.store.fleet.replaceable(desk.settings.fence_margin_seconds):
            if await desk.store.fleet.replace(row.session_id, row.attempt):
                logger.warning("%s is started elsewhere", row.session_id)
                desk.bells.ring(row.session_id, QUEUE)

    async def _forget_revoked(self) -> None:
        desk = self.desk
        for row in await desk.store.exchange.left_on_revoked():
            await desk.store.exchange.give_up(row.session_id, row.attempt, "its spoke was revoked")
            desk.bells.ring(row.session_id, QUEUE)
