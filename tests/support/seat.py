"""An attempt of a session, whose spoke says what the test wants: for tests of the store."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import JsonValue

from hub.ops.failing import judged
from hub.store import Store
from hub.store.spawning import NewSession
from protocol.ops.wire import Record
from protocol.session import Fact
from tests.support import rows
from tests.support.rows import record


@dataclass(slots=True)
class Seat:
    store: Store
    spoke: str
    epoch: int
    id: str
    attempt: int
    next: int = 1

    async def agent(self, event: str, **body: JsonValue) -> None:
        """Something that its agent was understood to say."""
        await self.append(record("agent", event=event, **body))

    async def append(self, *said: Record) -> None:
        row = await self.store.exchange.append(
            self.spoke, self.epoch, self.id, self.attempt, self.next, list(said)
        )
        assert (row.verdict, row.skipped) == ("ok", 0)
        self.next += len(said)

    async def exits(self, **body: JsonValue) -> None:
        """Its end, with what the hub decides about it."""
        exited = record("exited", **body)
        await self.append(await judged(self.store.policy, self.id, self.attempt, exited))

    async def fails(self, kind: str, message: str = "no", retry_at: int | None = None) -> None:
        failure: dict[str, JsonValue] = {"kind": kind, "message": message, "advice": "do"}
        if retry_at is not None:
            failure["retryAt"] = retry_at
        await self.exits(outcome="failed", reason=kind, message=message, failure=failure)

    async def placed_again(self) -> Seat:
        attempt = await rows.assign(self.store, self.id, self.spoke)
        return await replace(self, attempt=attempt, next=1).running()

    async def running(self) -> Seat:
        place = {"worktree": f"/w/{self.id}", "baseCommit": "b0"}
        await self.append(record("starting", **place))
        await self.append(record("running", pid=1))
        return self

    async def reopened(self) -> Seat:
        """A new attempt after a safe exit."""
        await self.exits(outcome="blocked")
        await self.store.sessions.tell(self.id, Fact.REOPENED, None, {})
        return await self.placed_again()


async def seat(store: Store, new: NewSession | None = None) -> Seat:
    spoke, at = await rows.spoke(store)
    return await beside(Seat(store, spoke, at.epoch, "", 0), new)


async def beside(other: Seat, new: NewSession | None = None) -> Seat:
    """Another session on the same spoke."""
    id = (await rows.spawn(other.store, new)).session_id
    return await replace(other, id=id).placed_again()
