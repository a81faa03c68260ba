"""What each hub does for itself: says that it is here, and keeps the leases of those it hears.

Nothing is written for a spoke while it is heard. Its time begins to run, in the database, when it
is silent or its link is lost; and it begins to run by itself when the hub that heard it is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from hub.bells import HUBS
from hub.core import leases
from hub.desk import Desk
from hub.duties.leading import Leader
from hub.fleet.waking import Waker
from hub.store.fleet import Link
from protocol.codec import Object
from protocol.errors import CallError, Cancelled
from protocol.frames import Notice
from protocol.limits import CLOSE_UNAUTHENTICATED
from protocol.ops.catalogue import HEARD

logger = logging.getLogger(__name__)

BEAT_SECONDS: Final = 5.0  #: between two rows that say that this hub is here
STORM_SECONDS: Final = 0.1  #: within it, many bells are one
SILENT_BEATS: Final = 2.5  #: heartbeats that may be missed before a lease begins to run
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - told to nobody as an address


@dataclass(slots=True)
class Watch:
    desk: Desk
    waker: Waker
    leader: Leader
    version: str
    _heard: dict[Link, float] = field(default_factory=dict[Link, float])  # by loop time
    _running: set[Link] = field(default_factory=set[Link])  # their leases run
    _looked: float = 0.0
    _drained: bool = False

    async def turn(self) -> None:
        desk, now = self.desk, asyncio.get_running_loop().time()
        try:
            beats = desk.spokes.take_beats()
            await self._be_here()
            await self._keep_leases(now)
            await self._compare(beats)
            await self._close_void()
        except CallError:
            desk.health.away_since = desk.health.away_since or datetime.now(UTC)
            raise
        desk.health.away_since = None
        with desk.bells.listening(HUBS) as bell:
            await bell.wait(min(BEAT_SECONDS, desk.settings.heartbeat_seconds / 2))
        await asyncio.sleep(STORM_SECONDS)  # what rings next is heard in one look

    async def _be_here(self) -> None:
        desk = self.desk
        url = str(desk.address) if desk.address.host not in _EVERYWHERE else ""
        desk.health.draining = await desk.store.fleet.beat(desk.instance, url, self.version)
        if desk.health.draining:
            await self.leader.leave()
        else:
            await self.leader.renew()
        if desk.health.draining != self._drained:
            self._drained = desk.health.draining
            desk.links.take(none=self._drained)
            if self._drained:
                logger.info("this hub is drained: its links go to the others")
                await desk.links.say_goodbye("the hub is drained")
        hubs = await desk.store.fleet.hubs()
        others = [row for row in hubs if row.instance != desk.instance]
        desk.bells.tell_abroad(self.waker.tell if others else None)
        open_ones = {row.url for row in others if row.url and not row.draining}
        desk.health.others = sorted(open_ones - {url})

    async def _keep_leases(self, now: float) -> None:
        """By what was heard since the last look; a look that came late saw nobody silent."""
        desk, lease = self.desk, self.desk.settings.lease_seconds
        heard = set(desk.spokes.heard_since())
        here = {(spoke.spoke_id, spoke.epoch) for spoke in desk.spokes.connected()}
        late = now - self._looked > leases.LOOP_GAP_SECONDS + desk.settings.heartbeat_seconds / 2
        self._looked = now
        for link in desk.spokes.left_since() - here:
            self._heard.setdefault(link, now)  # it may have come and gone between two looks
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

    async def _compare(self, beats: Mapping[Link, int]) -> None:
        """A spoke that has a newer connection, was called out of reach, or has orders that the
        database lost, comes with a hello. Of the others, beats are confirmed: that they were heard
        can be read in the database now."""
        desk = self.desk
        here = desk.spokes.connected()
        if not here:
            return
        links = [(spoke.spoke_id, spoke.epoch) for spoke in here]
        held = await desk.store.fleet.held(links, [spoke.told for spoke in here])
        wrong = [link for link in links if held.get(link[0]) and link not in self._running]
        kept = await desk.store.fleet.keep(wrong) if wrong else set[str]()
        for id, epoch in links:
            spoke = desk.spokes.find(id)
            if spoke is None or spoke.epoch != epoch:
                continue
            if id not in held:
                logger.info("spoke %s is not held by this connection any more", id)
                desk.links.cut(id)
            elif (id, epoch) in beats and (id in kept or not held[id]):
                heard: Object = {"epoch": epoch, "n": beats[id, epoch]}
                desk.links.node.say(spoke.link, Notice(HEARD, heard))

    async def _close_void(self) -> None:
        """Links whose credential has ended since, wherever it was ended."""
        desk = self.desk
        held = desk.links.credentials()
        for id in await desk.store.access.void(held.tokens, held.sessions):
            ended = Cancelled("TOKEN_REVOKED", "its credential has ended")
            desk.links.close(id, CLOSE_UNAUTHENTICATED, ended)
