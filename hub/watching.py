"""What each hub does for itself: says that it is here, and keeps the leases of those it hears.

Nothing is written for a spoke while it is heard. Its time begins to run, in the database, when it
is silent or its link is lost; and it begins to run by itself when the hub that heard it is gone.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from hub.bells import HUBS
from hub.core import leases
from hub.desk import Desk
from hub.leading import Leader
from hub.store.fleet import Link
from hub.waking import Waker
from protocol.errors import CallError

logger = logging.getLogger(__name__)

BEAT_SECONDS: Final = 5.0  #: between two rows that say that this hub is here
STORM_SECONDS: Final = 0.1  #: within it, many bells are one
SILENT_BEATS: Final = 2.5  #: heartbeats that may be missed before a lease begins to run


@dataclass(slots=True)
class Watch:
    desk: Desk
    waker: Waker
    leader: Leader
    version: str
    _heard: dict[Link, float] = field(default_factory=dict[Link, float])  # by loop time
    _running: set[Link] = field(default_factory=set[Link])  # their leases run
    _looked: float = 0.0

    async def turn(self) -> None:
        desk, now = self.desk, asyncio.get_running_loop().time()
        try:
            await self._be_here()
            await self._keep_leases(now)
            await self._leave_to_others()
        except CallError:
            desk.health.away_since = desk.health.away_since or datetime.now(UTC)
            raise
        desk.health.away_since = None
        with desk.bells.listening(HUBS) as bell:
            await bell.wait(min(BEAT_SECONDS, desk.settings.heartbeat_seconds / 2))
        await asyncio.sleep(STORM_SECONDS)  # what rings next is heard in one look

    async def _be_here(self) -> None:
        desk = self.desk
        url = str(desk.address)
        desk.health.draining = await desk.store.fleet.beat(desk.instance, url, self.version)
        if desk.health.draining:
            await self.leader.leave()
        else:
            await self.leader.renew()
        hubs = await desk.store.fleet.hubs()
        others = [row for row in hubs if row.instance != desk.instance]
        desk.bells.tell_abroad(self.waker.tell if others else None)

    async def _keep_leases(self, now: float) -> None:
        """By what was heard since the last look; a look that came late saw nobody silent."""
        desk, lease = self.desk, self.desk.settings.lease_seconds
        heard = set(desk.spokes.heard_since())
        here = {(spoke.spoke_id, spoke.epoch) for spoke in desk.spokes.connected()}
        late = now - self._looked > leases.LOOP_GAP_SECONDS + desk.settings.heartbeat_seconds / 2
        self._looked = now
        for link in here:
            if late or link[0] in heard or link not in self._heard:
                self._heard[link] = now
        silence = SILENT_BEATS * desk.settings.heartbeat_seconds
        gone = self._heard.keys() - here
        silent = {link for link in here if now - self._heard[link] > silence}
        begin = (gone | silent) - self._running
        if begin:
            ago = [(id, epoch, now - self._heard[id, epoch]) for id, epoch in sorted(begin)]
            await desk.store.fleet.let_run(ago, lease)
        again = (here - silent) & self._running
        if again:
            await desk.store.fleet.keep(sorted(again))
        self._running = (self._running | silent) & here - again
        for link in gone:
            del self._heard[link]

    async def _leave_to_others(self) -> None:
        """A spoke that has a newer connection, or was called out of reach, comes with a hello."""
        desk = self.desk
        links = [(spoke.spoke_id, spoke.epoch) for spoke in desk.spokes.connected()]
        if not links:
            return
        epochs = dict(links)
        for spoke_id in await desk.store.fleet.not_held(links):
            spoke = desk.spokes.find(spoke_id)
            if spoke is not None and spoke.epoch == epochs[spoke_id]:
                logger.info("spoke %s is held by another connection now", spoke_id)
                desk.links.cut(spoke_id)
