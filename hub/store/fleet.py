"""Several hubs on one database: who is there, who leads, who hears which spoke, who asks whom."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from pydantic import JsonValue

from hub.store import queries
from hub.store.postgres import Postgres, again
from hub.store.rows.fleet import AnswerRow, AskRow, HolderRow, HubLiveRow, LeaseRow, ReachRow
from hub.store.rows.shared import AttemptRow
from protocol.codec import Object
from protocol.session import Fact, State

HUB_SECONDS: Final = 15.0  #: a hub that has not written its row for so long is gone
LEAD_SECONDS: Final = 15.0  #: how long a lead lasts that is not renewed

Link = tuple[str, int]  #: a spoke and the epoch of its connection


class _IsBack(Exception):
    """A spoke said hello while its session was taken from it."""


class Fleet:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._pool = postgres.pool

    # Hubs.

    async def beat(self, instance: str, url: str, version: str) -> bool:
        """Write that this hub is here. Whether it was asked to drain."""
        return (await queries.hub_beats.only(self._pool, instance, url, version)).draining

    async def leave(self, instance: str) -> None:
        await queries.hub_leaves.all(self._pool, instance)
        await queries.leave_lead.all(self._pool, instance)

    async def hubs(self) -> list[HubLiveRow]:
        """Those that are there, the oldest first."""
        return await queries.live_hubs.all(self._pool, timedelta(seconds=HUB_SECONDS))

    async def drain(self, instance: str, *, on: bool) -> bool:
        """False: no such hub is there."""
        return await queries.drain_hub.one(self._pool, instance, on) is not None

    # The lead.

    async def lead(self, instance: str) -> int | None:
        """Lead for a while longer; the term. None: another hub leads."""
        row = await queries.take_lead.one(self._pool, instance, timedelta(seconds=LEAD_SECONDS))
        return None if row is None else row.term

    async def leave_lead(self, instance: str) -> None:
        await queries.leave_lead.all(self._pool, instance)

    async def say_doubt(self, instance: str, term: int, doubt: str | None) -> None:
        await queries.say_doubt.all(self._pool, instance, term, doubt)

    async def doubt(self) -> str | None:
        """Why the leader calls nobody out of reach just now; None: it has no doubt."""
        row = await queries.doubt_of_leader.one(self._pool)
        return None if row is None else row.doubt

    # Leases. While a hub hears a spoke, nothing is written for it.

    async def holder(self, spoke_id: str) -> HolderRow | None:
        """The hub that holds a spoke's link and hears it, and the daemon that it is."""
        lasting = timedelta(seconds=HUB_SECONDS)
        return await queries.holder_of_spoke.one(self._pool, spoke_id, lasting)

    async def let_run(self, silent: Sequence[tuple[str, int, float]], lease: float) -> None:
        """These links are silent or lost, for so many seconds: their time begins to run."""
        ids, epochs = [id for id, _, _ in silent], [epoch for _, epoch, _ in silent]
        ago = [timedelta(seconds=seconds) for _, _, seconds in silent]
        lasting = timedelta(seconds=lease)
        await again(lambda: queries.let_leases_run.all(self._pool, ids, epochs, ago, lasting))

    async def keep(self, heard: Sequence[Link]) -> set[str]:
        """Their time stops running. Those for whom it did; the others must come with a hello."""
        ids, epochs = [id for id, _ in heard], [epoch for _, epoch in heard]
        rows = await again(lambda: queries.keep_leases.all(self._pool, ids, epochs))
        return {row.spoke_id for row in rows}

    async def prolong(self, spoke_id: str, epoch: int, lease: float) -> bool:
        """A sign of life that came beside the link. False: that connection is not the newest."""
        row = await queries.prolong_lease.one(self._pool, spoke_id, epoch, timedelta(seconds=lease))
        return row is not None

    async def held(
        self, links: Sequence[Link], told: Sequence[int] | None = None
    ) -> dict[str, bool]:
        """Of these links, those that are the newest of their spokes and were not called out of
        reach; whether their time runs. ``told``: the newest order of each, which must be known."""
        ids, epochs = [id for id, _ in links], [epoch for _, epoch in links]
        numbers = [0] * len(links) if told is None else list(told)
        rows = await queries.held_links.all(self._pool, ids, epochs, numbers)
        return {row.spoke_id: row.runs for row in rows}

    async def orphan(self, lease: float) -> list[str]:
        """Let the time run of what was heard by hubs that are gone."""
        gone, lasting = timedelta(seconds=HUB_SECONDS), timedelta(seconds=lease)
        rows = await again(lambda: queries.orphan_leases.all(self._pool, gone, lasting))
        return [row.spoke_id for row in rows]

    async def leases(self) -> list[LeaseRow]:
        """All spokes that are online, and whether their time is over."""
        return await queries.expired_spokes.all(self._pool)

    async def expire(self, spoke_id: str, term: int | None = None) -> bool:
        """Mark a spoke offline, if its time is still over and that term's leader still leads."""
        return await queries.mark_offline.one(self._pool, spoke_id, term) is not None

    async def lose_contact(self) -> list[str]:
        """Call unknown what spokes hold that are out of reach; the sessions' ids.

        Not in the transaction that marks a spoke offline, for spokes are locked last.
        """
        out = await queries.sessions_out_of_reach.all(self._pool)
        why = "its spoke is out of reach"
        for row in out:
            async with self._postgres.transaction() as db:
                await queries.lock_session.one(db, row.session_id)
                if await queries.hold_away.one(db, row.session_id) is not None:
                    fact = str(Fact.CONTACT_LOST)
                    await queries.tell_session.all(db, row.session_id, fact, why, {})
        return [row.session_id for row in out]

    async def long_unknown(self, after: float, laptops_after: float) -> list[AttemptRow]:
        """Sessions that have been out of reach for longer than these many seconds."""
        times = (timedelta(seconds=after), timedelta(seconds=laptops_after))
        return await queries.long_unknown.all(self._pool, *times)

    async def replaceable(self, margin: float) -> list[AttemptRow]:
        """Sessions that may be started elsewhere: their agents have ended themselves by now."""
        return await queries.replaceable.all(self._pool, timedelta(seconds=margin))

    async def replace(self, session_id: str, attempt: int) -> bool:
        """Put a replaceable session back into the queue. False: it, or its spoke, is back."""
        try:
            return await self._replace(session_id, attempt)
        except _IsBack:
            return False

    async def _replace(self, session_id: str, attempt: int) -> bool:
        why = "its spoke was out of reach for too long"
        async with self._postgres.transaction() as db:
            locked = await queries.lock_session.one(db, session_id)
            if locked is None or (locked.attempt, locked.state, locked.desired) != (
                attempt, State.UNKNOWN, "run",
            ):  # fmt: skip
                return False
            [held] = await queries.release_mapping.all(db, session_id, attempt, "replaced")
            await queries.tell_session.all(db, session_id, str(Fact.REPLACED), why, {})
            if await queries.hold_offline.one(db, held.spoke_id) is None:
                raise _IsBack
            return True

    async def reach(self, session_id: str) -> ReachRow | None:
        """What a session waits for, as far as its spoke goes."""
        return await queries.reach_of_session.one(self._pool, session_id)

    # Calls for spokes whose links other hubs hold.

    async def place_ask(
        self, ask_id: str, instance: str, spoke_id: str, op: str, params: Object, within: float
    ) -> None:
        lasting = timedelta(seconds=within)
        await queries.place_ask.all(self._pool, ask_id, instance, spoke_id, op, params, lasting)

    async def take_asks(self, instance: str) -> list[AskRow]:
        """What this hub is asked; each is given out once."""
        return await queries.take_asks.all(self._pool, instance)

    async def answer_ask(self, ask_id: str, answer: JsonValue, error: Object | None) -> None:
        await queries.answer_ask.all(self._pool, ask_id, answer, error)

    async def answer_of(self, ask_id: str) -> AnswerRow | None:
        """None: the one who asked has gone."""
        return await queries.answer_of_ask.one(self._pool, ask_id)

    async def drop_ask(self, ask_id: str) -> None:
        await queries.drop_ask.all(self._pool, ask_id)

    # Retention.

    async def tidy(self, orders_after: float) -> int:
        """Remove old hubs, calls and told orders; how many orders."""
        row = await queries.tidy_hubs.only(self._pool, timedelta(seconds=orders_after))
        return row.n

    async def drop_events(self, days: int) -> int:
        """Drop the days of events whose sessions all ended so long ago; how many days."""
        return (await queries.drop_partitions.only(self._pool, days)).dropped
