"""Who does not follow a story gets what is there, however fast its agent goes on speaking."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

from pydantic import JsonValue

from hub.bells import Bells
from hub.core.rights import Principal
from hub.desk import Asked, Desk
from hub.feed import Feed
from hub.ops.events import events
from hub.store import Store
from protocol.aio.node import Context
from protocol.ops.catalogue import Role
from protocol.ops.sessions import EventsEnd, EventsParams
from protocol.session import State
from tests.support.rows import record
from tests.support.seat import Seat, seat
from tests.support.world import PATIENCE


class _Speaker:
    """Whenever somebody was given something, its agent has said something more, or has ended."""

    def __init__(self, it: Seat, then: str) -> None:
        self._it = it
        self._then = then
        self.feed = Feed(it.store.sessions, Bells())
        self.given: list[str] = []

    async def emit(self, item: object) -> None:
        assert isinstance(item, dict)
        self.given += [one.kind for one in item["events"]]
        if self._then == "speaks":
            said = record("stdout", text="more")
            await self._it.append(said)
            last = (await self._it.store.sessions.story(self._it.id)).last_seq
            self.feed.stored(self._it.id, last, 1, [said])
        elif self._then == "ends":
            self._then = ""
            await self._it.exits(outcome="completed")

    async def read(self, **more: JsonValue) -> EventsEnd:
        params = EventsParams.model_validate({"session_id": self._it.id, "follow": False, **more})
        desk = cast("Desk", SimpleNamespace(store=self._it.store, feed=self.feed))
        admin = Principal(Role.ADMIN, "tok_1", "admin")
        async with asyncio.timeout(PATIENCE / 4):
            return await events(desk, Asked(admin, "", params, cast("Context", self)))


async def test_an_agent_that_speaks_all_the_time_is_read_to_where_it_was(store: Store) -> None:
    it = await seat(store)
    speaker = _Speaker(it, "speaks")
    last = (await store.sessions.story(it.id)).last_seq
    end = await speaker.read()
    assert (end.last_seq, end.state) == (last, State.RUNNING)
    assert speaker.given == ["queued", "assigned", "starting", "running"]
    assert (await speaker.read(after=end.last_seq)).last_seq == last + 1


async def test_one_that_ends_meanwhile_is_read_to_its_end(store: Store) -> None:
    it = await seat(store)
    speaker = _Speaker(it, "ends")
    end = await speaker.read()
    assert end.state is State.COMPLETED
    assert speaker.given[-2:] == ["exited", "completed"]
    assert end.last_seq == (await store.sessions.story(it.id)).last_seq
