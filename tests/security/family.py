"""A session with all that it has around it: parents, children, and others."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hub.app import RunningHub
from protocol import ids
from tests.security import people
from tests.security.raw import Raw, entered
from tests.support import rows


@dataclass(frozen=True, slots=True)
class Family:
    """``raw`` is the link of the one in the middle, ``own``."""

    raw: Raw
    own: str
    child: str
    grandchild: str
    parent: str
    sibling: str
    nephew: str
    stranger: str
    nobody: str


@asynccontextmanager
async def family(hub: RunningHub) -> AsyncGenerator[Family]:
    store = people.store_of(hub)
    spoke, _ = await rows.spoke(store)
    parent = await people.queued(store)
    own = await people.queued(store, parent)
    child = await people.queued(store, own)
    sibling = await people.queued(store, parent)
    token = await people.credential(store, spoke, own)
    async with entered(hub.url, f"Bearer {token}") as raw:
        yield Family(
            raw, own, child, await people.queued(store, child), parent, sibling,
            await people.queued(store, sibling), await people.queued(store), ids.new_session(),
        )  # fmt: skip
