"""What other hubs ask this one, for the spokes whose links end here."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import cast

from pydantic import JsonValue
from websockets.exceptions import ConnectionClosed

from hub.bells import asked
from hub.desk import Desk
from hub.fleet.connected import Connected
from hub.fleet.reach import PING
from hub.store.rows.fleet import AskRow
from protocol.codec import Object
from protocol.errors import CallError, Unavailable
from protocol.faults import error_body

logger = logging.getLogger(__name__)

ALIVE_SECONDS = 5.0  # a connection that answers within this keeps its place


async def answers(desk: Desk, spoke: Connected) -> bool:
    """Whether the far end of a spoke's link is there, now."""
    websocket = desk.links.peer(spoke.link).websocket
    try:
        async with asyncio.timeout(ALIVE_SECONDS):
            await (await websocket.ping())
    except (TimeoutError, OSError, ConnectionClosed):
        return False
    return True


@dataclass(slots=True)
class Reception:
    desk: Desk
    _at_work: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def turn(self) -> None:
        """Until cancelled. Raises Unavailable when the database is away."""
        desk = self.desk
        with desk.bells.listening(asked(desk.instance)) as bell:
            while True:
                for row in await desk.store.fleet.take_asks(desk.instance):
                    task = asyncio.create_task(self._serve(row), name=f"{row.op} {row.ask_id}")
                    self._at_work.add(task)
                    task.add_done_callback(self._at_work.discard)
                await bell.wait()

    async def _serve(self, row: AskRow) -> None:
        """Answer, unless the one who asked goes first: then what it wanted is aborted too."""
        work = asyncio.create_task(self._answer(row), name=f"{row.op} for {row.spoke_id}")
        gone = asyncio.create_task(self._wait_gone(row.ask_id), name="who asked")
        try:
            await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.wait([work, gone])

    async def _answer(self, row: AskRow) -> None:
        answer: JsonValue = None
        error: Object | None = None
        try:
            answer = await self._carry_out(row)
        except CallError as failed:
            error = cast("Object", error_body(failed))
        try:
            await self.desk.store.fleet.answer_ask(row.ask_id, answer, error)
        except CallError as lost:
            logger.warning("the answer to %s was not stored: %s", row.op, lost)
        self.desk.bells.ring(row.ask_id)

    async def _carry_out(self, row: AskRow) -> JsonValue:
        spoke = self.desk.spokes.find(row.spoke_id)
        if spoke is None:
            raise Unavailable("SPOKE_OFFLINE", f"{row.spoke_id} is not connected here any more")
        if row.op == PING:
            return {"answers": await answers(self.desk, spoke)}
        params = cast("Object", row.params)
        return await self.desk.links.node.ask(spoke.link, row.op, params, within=row.seconds)

    async def _wait_gone(self, id: str) -> None:
        with self.desk.bells.listening(id) as bell:
            while True:
                await bell.wait()
                try:
                    if await self.desk.store.fleet.answer_of(id) is None:
                        return
                except CallError:  # the database is away: nobody can have gone, as far as we know
                    continue
