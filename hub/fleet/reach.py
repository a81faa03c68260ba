"""Calls for a spoke, whichever hub holds its link: over the link, or through the database.

Between hubs nothing but the database is shared, so that is the way: a row that the other hub takes,
carries out and answers, with a bell at each end. It costs two commits, and needs no address, no
trust and no port between hubs. What has to be durable (orders, records) never comes this way.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from hub.bells import Bells, asked
from hub.fleet.spokes import Spokes
from hub.store.fleet import Fleet
from protocol import ids
from protocol.aio.node import Context
from protocol.codec import Object
from protocol.errors import DeadlineExceeded, Unavailable
from protocol.faults import error_of

PING: Final = "hub.ping_spoke"  #: not of the spoke: whether its websocket answers
LATE_SECONDS: Final = 2.0  #: beyond its time, for the answer to come back


@dataclass(frozen=True, slots=True)
class Reach:
    instance: str
    fleet: Fleet
    spokes: Spokes
    bells: Bells

    async def ask(
        self, context: Context, spoke_id: str | None, op: str, params: Object, *, within: float
    ) -> JsonValue:
        """What a spoke answers. Raises Unavailable (SPOKE_OFFLINE), and what it was answered."""
        spoke = self.spokes.find(spoke_id or "")
        if spoke is not None:
            return await context.ask(spoke.link, op, params, within=within)
        holder = await self.fleet.holder(spoke_id or "")
        if holder is None or holder.hub == self.instance:
            raise Unavailable(
                "SPOKE_OFFLINE", f"{spoke_id} is not connected", advice="coordctl spoke list"
            )
        return await self.ask_hub(holder.hub, spoke_id or "", op, params, within=within)

    async def ask_hub(
        self, instance: str, spoke_id: str, op: str, params: Object, *, within: float
    ) -> JsonValue:
        """What another hub answers for one of its spokes. Raises what it was answered."""
        id = ids.new_ask()
        await self.fleet.place_ask(id, instance, spoke_id, op, params, within)
        self.bells.ring(asked(instance))
        try:
            async with asyncio.timeout(within + LATE_SECONDS):
                return await self._answer(id, instance)
        except TimeoutError:
            raise DeadlineExceeded(
                "DEADLINE_EXCEEDED", f"{op} was not done within {within:.0f} s"
            ) from None
        finally:
            await asyncio.shield(self.fleet.drop_ask(id))
            self.bells.ring(id)

    async def _answer(self, id: str, instance: str) -> JsonValue:
        with self.bells.listening(id) as bell:
            while True:
                row = await self.fleet.answer_of(id)
                if row is None:
                    raise Unavailable("HUB_GONE", f"the hub {instance} has gone")
                if isinstance(row.error, dict):
                    raise error_of(row.error)
                if row.answered:
                    return row.answer
                await bell.wait()
