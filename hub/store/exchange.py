"""What crosses between hub and spokes: enrolment, hellos, leases, orders down, records up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from pydantic_core import to_json

from hub.core.telling import Told
from hub.store import queries
from hub.store.batch import Batch
from hub.store.postgres import Postgres, again
from hub.store.rows.exchange import AppendRow, EarlierRow, OrderRow, PlacedRow, SceneRow
from hub.store.rows.shared import AttemptRow
from hub.store.rows.spokes import (
    HeldRow,
    HelloRow,
    KnownRow,
    LiveRow,
    SilentRow,
    SpokeKeyRow,
    SpokeRow,
)
from protocol.errors import NotFound
from protocol.handshake import SpokeHello
from protocol.ops.wire import Record, Saved
from protocol.session import Fact, State

APPENDS_AT_ONCE: Final = 32  #: that share a commit,
FEW_RECORDS: Final = 32  #: and how many records each may have; more are stored beside each other


@dataclass(frozen=True, slots=True)
class Greeted:
    """What the database says at a hello: the fence, and what it believed that this spoke holds."""

    epoch: int
    rebooted: bool
    held: list[HeldRow]
    known: list[KnownRow]


class _Append(NamedTuple):
    spoke_id: str
    epoch: int
    session_id: str
    attempt: int
    first: int
    records: Sequence[Record]
    told: Sequence[Told]


class _Overtaken(Exception):
    """A newer connection of the spoke came: what the one before said is taken back."""


class Exchange:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._pool = postgres.pool
        self._appends = Batch(self._append_all, limit=APPENDS_AT_ONCE)

    # Spokes.

    async def enroll(
        self,
        spoke_id: str,
        name: str,
        key: bytes,
        labels: dict[str, str],
        slots: int,
        most: int | None = None,
    ) -> bool:
        """False: a spoke of that name is there already. ``most``: slots that it never exceeds."""
        row = await queries.enroll_spoke.one(self._pool, spoke_id, name, key, labels, slots, most)
        return row is not None

    async def key(self, spoke_id: str) -> SpokeKeyRow | None:
        return await queries.spoke_key.one(self._pool, spoke_id)

    async def greet(
        self, hello: SpokeHello, version: str, lease: float, hub: str | None = None
    ) -> Greeted | None:
        """Fence the connection before, and read what there is to compare. None: revoked.

        ``hub``: the instance that holds the link; without one the lease runs at once.
        """
        ids = [item.session_id for item in hello.inventory]
        async with self._postgres.transaction() as db:
            before = await queries.boot_of_spoke.one(db, hello.spoke_id)
            row: HelloRow | None = await queries.accept_hello.one(
                db,
                hello.spoke_id,
                hello.incarnation,
                hello.boot_id,
                version,
                hello.slots,
                hello.labels,
                hello.detail,
                timedelta(seconds=lease),
                hello.last_seq,
                hub,
                hello.sandboxes,
            )
            if before is None or row is None:
                return None
            if row.overlaps:
                attempts = [item.attempt for item in hello.inventory]
                await queries.renumber_orders.all(db, hello.spoke_id, hello.last_seq, ids, attempts)
            held = await queries.held_by_spoke.all(db, hello.spoke_id, ids)
            known = await queries.known_sessions.all(db, ids)
        rebooted = before.boot_id not in (None, hello.boot_id)
        return Greeted(row.epoch, rebooted, held, known)

    async def left_on_revoked(self) -> list[AttemptRow]:
        """What spokes hold that were revoked."""
        return await queries.left_on_revoked.all(self._pool)

    async def found(self, session_id: str, attempt: int, spoke_id: str, epoch: int) -> State | None:
        """The agent of the current attempt runs, says that connection of its spoke. None: refused:
        the attempt or the connection is no longer the newest."""
        row = await queries.found_session.one(self._pool, session_id, attempt, spoke_id, epoch)
        return None if row is None else row.state

    async def give_up(
        self, session_id: str, attempt: int, why: str, *, seen_dead: bool = False,
        only_in: State | None = None, by: tuple[str, int] | None = None,
    ) -> State | None:  # fmt: skip
        """Release an attempt and call its session lost; one that is being aborted is aborted, and
        unconfirmed unless it was ``seen_dead``. None: the table refuses it now.

        ``only_in``: the state that the decision saw. ``by``: the spoke and the epoch of the
        connection that gave the proof; a newer connection may know better.
        """
        try:
            return await self._give_up(session_id, attempt, why, seen_dead, only_in, by)
        except _Overtaken:
            return None

    async def _give_up(
        self, session_id: str, attempt: int, why: str, seen_dead: bool, only_in: State | None,
        by: tuple[str, int] | None,
    ) -> State | None:  # fmt: skip
        async with self._postgres.transaction() as db:
            locked = await queries.lock_session.one(db, session_id)
            if locked is None or locked.attempt != attempt:
                return None
            if only_in is not None and locked.state is not only_in:
                return None
            fact = Fact.STOPPED if locked.state is State.ABORTING else Fact.GIVEN_UP
            await queries.release_mapping.all(db, session_id, attempt, why)
            state = (await queries.tell_session.only(db, session_id, str(fact), why, {})).state
            if state is State.ABORTED:
                await queries.confirm_abort.all(db, session_id, seen_dead)
            # Last, for spokes are locked last; until we are done, a newer hello waits.
            if by is not None and await queries.hold_connection.one(db, *by) is None:
                raise _Overtaken
            return state

    async def spokes(self, which: str | None = None) -> list[SpokeRow]:
        """All spokes that may come back, or one by name or id."""
        return await queries.spoke_views.all(self._pool, which)

    async def spoke(self, which: str) -> SpokeRow:
        found = await self.spokes(which)
        if not found:
            raise no_spoke(which)
        return min(found, key=lambda row: row.revoked_at is not None)

    async def set_cordoned(self, spoke_id: str, *, cordoned: bool, draining: bool) -> None:
        await queries.set_cordoned.all(self._pool, spoke_id, cordoned, draining)

    async def revoke(self, spoke_id: str) -> None:
        await queries.revoke_spoke.all(self._pool, spoke_id)

    async def live_on(self, spoke_id: str) -> list[LiveRow]:
        return await queries.live_on_spoke.all(self._pool, spoke_id)

    # Records up.

    async def append(
        self, spoke_id: str, epoch: int, session_id: str, attempt: int, first: int,
        records: Sequence[Record], told: Sequence[Told] = (),
    ) -> AppendRow:  # fmt: skip
        """Store records once each, in order, and what the session above is told of them; see
        `append_records` in the schema.

        Few records share a commit with those of other attempts that came meanwhile: when a tree is
        aborted, each of its agents ends in the same moment.
        """
        one = _Append(spoke_id, epoch, session_id, attempt, first, records, told)
        if len(records) > FEW_RECORDS:
            return await self._append_one(one)
        return await self._appends.submit(one)

    async def _append_one(self, one: _Append) -> AppendRow:
        if one.told:  # the session above is held first
            return (await self._append_held([one]))[0]
        written = to_json(one.records).decode()  # a record is a tuple: one list of lists
        return await queries.append_records.only(
            self._pool, one.spoke_id, one.epoch, one.session_id, one.attempt, one.first, written
        )

    async def _append_all(self, some: list[_Append]) -> list[AppendRow | BaseException]:
        if len(some) == 1:
            return [await self._append_one(some[0])]
        return [*await self._append_held(some)]

    async def _append_held(self, some: list[_Append]) -> list[AppendRow]:
        written = to_json(some).decode()
        return await again(lambda: queries.append_all.all(self._pool, written))

    async def saved(self, spoke_id: str, report: Saved) -> str:
        """Store where an attempt's work is: ok, stale_epoch, or unknown."""
        body = report.model_dump(by_alias=True, exclude={"epoch", "session_id", "attempt"})
        row = await queries.note_saved.only(
            self._pool, spoke_id, report.epoch, report.session_id, report.attempt, body
        )
        return row.verdict


class Outbox:
    """Orders for spokes: who is placed where, and what each spoke has still to be told."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._pool = postgres.pool

    async def scene(self, limit: int) -> SceneRow:
        """The spokes that have room, and who waits for one of them, in the order of placing."""
        return await queries.placement_scene.only(self._pool, limit)

    async def assign(self, choices: Sequence[tuple[str, str, bytes]]) -> list[PlacedRow]:
        """Give sessions to spokes: (session, spoke, digest of the session's token) each. The start
        orders of those who were given, by number."""
        by_spoke = sorted(choices, key=lambda choice: choice[1])
        ids, spokes, digests = (list(column) for column in zip(*by_spoke, strict=True))
        return await again(lambda: queries.assign_sessions.all(self._pool, ids, spokes, digests))

    async def pending(self, spoke_id: str, after: int, limit: int) -> list[OrderRow]:
        return await queries.pending_orders.all(self._pool, spoke_id, after, limit)

    async def waited_for(self, spokes: Sequence[str]) -> list[str]:
        """Those of the spokes that have something to be told."""
        rows = await queries.spokes_with_orders.all(self._pool, list(spokes))
        return [row.spoke_id for row in rows]

    async def earlier(self, session_id: str, attempt: int) -> EarlierRow | None:
        """What the attempts before this one left. None: none of them began."""
        return await queries.earlier_attempts.one(self._pool, session_id, attempt)

    async def acked(self, spoke_id: str, seq: int, epoch: int | None = None) -> None:
        """Its orders up to ``seq`` are on its disk, said the connection with this epoch."""
        await queries.ack_orders.all(self._pool, spoke_id, seq, epoch)

    async def set_credential(
        self, session_id: str, attempt: int, digest: bytes, epoch: int
    ) -> bool:
        """Another token for an attempt that is to be told over the link with this epoch. False:
        that is not the newest, or the order has arrived."""
        row = await queries.set_credential.one(self._pool, session_id, attempt, digest, epoch)
        return row is not None

    async def refused(
        self, session_id: str, attempt: int, why: str, epoch: int | None = None
    ) -> None:
        """The spoke would not have it, said the connection with this epoch; or, without one, it
        never answered: back to the queue."""
        async with self._postgres.transaction() as db:
            if await queries.refuse_start.one(db, session_id, attempt, epoch) is not None:
                await queries.release_mapping.all(db, session_id, attempt, why)
                await queries.tell_session.all(db, session_id, str(Fact.REFUSED), why, {})

    async def silent(self, after: float) -> list[SilentRow]:
        return await queries.silent_starts.all(self._pool, timedelta(seconds=after))


def no_spoke(which: str) -> NotFound:
    return NotFound("SPOKE_NOT_FOUND", f"no spoke {which[:64]!r}", advice="coordctl spoke list")
