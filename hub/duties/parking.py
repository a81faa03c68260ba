"""The leader's duty to those who wait for an account: they are woken when its limit is over."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from hub.bells import POLL_SECONDS, QUEUE
from hub.core.failing import jitter
from hub.desk import Desk
from hub.duties.leading import Leader

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Parking:
    """A second hub that still believes to lead wakes nobody twice: the database compares."""

    desk: Desk
    leader: Leader

    async def turn(self) -> None:
        await asyncio.sleep(POLL_SECONDS)
        if self.leader.term is None:
            return
        policy = self.desk.store.policy
        for row in await policy.due():
            spread = jitter(row.limited_at, row.limited_until)
            woken = await policy.wake(row.account, row.limited_until, spread)
            logger.info("the account %s is open again; %d waited", row.account, len(woken))
            self.desk.bells.ring(QUEUE, *woken)
