"""Storing new sessions: many callers, one commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue
from pydantic_core import to_json

from hub.store import queries
from hub.store.batch import Batch
from hub.store.exchange import no_spoke
from hub.store.postgres import Postgres, again
from hub.store.queries import Database
from hub.store.rows.exchange import PlacedRow
from hub.store.rows.sessions import SpawnedRow, SpawnRow
from protocol.errors import (
    CallError,
    Conflict,
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from protocol.sandbox import Sandbox, strictest
from protocol.session import ENDED, State


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to store. ``params_hash`` is what an idempotency key is compared by."""

    session_id: str
    parent_id: str | None
    on_parent_abort: str
    owner: str
    idem_key: str | None
    params_hash: bytes
    task: str
    repo: str
    base: str | None
    branch: str
    agent: str
    spec: dict[str, JsonValue]
    labels: dict[str, str]
    wanted_spoke: str | None
    requires: dict[str, str]
    priority: int
    grant_depth: int
    grant_children: int
    queue_ms: int | None
    run_ms: int | None
    sandbox: Sandbox = "off"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Where a session is to be placed with the commit that stores it, if that can still be."""

    spoke_id: str
    epoch: int  #: of the connection that was seen
    digest: bytes  #: of the session's token


@dataclass(frozen=True, slots=True)
class Stored:
    session_id: str
    created: bool  #: False: the key was known, and said the same
    placed: PlacedRow | None = None  #: its start order, where it was placed at once


@dataclass(frozen=True, slots=True)
class Grant:
    depth: int  #: levels below it
    children: int  #: live ones at a time
    sandbox: Sandbox = "off"  #: that holds it, and so what it spawns


class Spawner:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._batch = Batch(self._spawn_all)

    async def spawn(self, new: NewSession, chosen: Chosen | None = None) -> Stored:
        """Store a session, and place it at once if it comes alone and nobody waits.

        Raises NotFound, FailedPrecondition (its parent), Conflict.
        """
        return await self._batch.submit((new, chosen))

    async def spawn_within_grant(self, new: NewSession) -> Stored:
        """Store a child that a session asked for: within the depth and the number of children
        that its parent was granted. Raises ResourceExhausted (QUOTA_EXCEEDED) too."""
        async with self._postgres.transaction() as db:
            parent = await queries.lock_parent.one(db, new.parent_id)
            if parent is None:
                raise _no_parent(new)
            depth, children = parent.grant_depth, parent.grant_children
            live = (await queries.count_live_children.only(db, new.parent_id)).n
            known = new.idem_key is not None and await queries.session_of_key.one(
                db, new.owner, new.idem_key
            )
            if not known and (depth < 1 or live >= children):
                raise _quota(depth, live, children)
            [answer] = await self._insert(db, [new])
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def grant_of(self, session_id: str) -> Grant:
        """What a session may spawn. Nothing, when it is not there."""
        row = await queries.lock_parent.one(self._postgres.pool, session_id)
        if row is None:
            return Grant(0, 0)
        held = strictest(row.sandbox, row.runs_in)
        return Grant(row.grant_depth, row.grant_children, held)

    async def _spawn_all(
        self, asked: list[tuple[NewSession, Chosen | None]]
    ) -> list[Stored | BaseException]:
        [new, chosen] = asked[0]
        if len(asked) == 1 and new.parent_id is None:
            return [await self._insert_one(new, chosen)]
        return await self._insert(self._postgres.pool, [new for new, _ in asked])

    async def _insert_one(self, new: NewSession, chosen: Chosen | None) -> Stored | CallError:
        spec, labels, requires = (
            to_json(part).decode() for part in (new.spec, new.labels, new.requires)
        )
        given = (
            new.session_id, new.on_parent_abort, new.owner, new.idem_key, new.params_hash, new.task,
            new.repo, new.base, new.branch, new.agent, spec, labels, new.wanted_spoke, requires,
            new.priority, new.grant_depth, new.grant_children, new.queue_ms, new.run_ms,
            new.sandbox, *((chosen.spoke_id, chosen.digest, chosen.epoch) if chosen else _NOWHERE),
        )  # fmt: skip
        pool = self._postgres.pool
        row = await again(lambda: queries.spawn_one.one(pool, *given))
        if row is None:
            return await _why_not(pool, new)
        placed = None if chosen is None else _order(new, chosen, row)
        return Stored(new.session_id, created=True, placed=placed)

    async def _insert(self, db: Database, news: list[NewSession]) -> list[Stored | BaseException]:
        parents = sorted({new.parent_id for new in news if new.parent_id is not None})
        found = await queries.spawn_sessions.all(db, _as_json(news), parents)
        return [
            Stored(new.session_id, created=True) if row.inserted else await _why_not(db, new, row)
            for new, row in zip(news, found, strict=True)
        ]


_NOWHERE: Final = (None, None, None)


def _order(new: NewSession, chosen: Chosen, row: SpawnedRow) -> PlacedRow | None:
    if row.seq is None:
        return None
    return PlacedRow(
        seq=row.seq, session_id=new.session_id, attempt=1, kind="start", body={},
        task=new.task, repo=new.repo, base=new.base, branch=new.branch, agent=new.agent,
        spec=new.spec, sandbox=new.sandbox, parent_id=None, spoke_id=chosen.spoke_id,
        alone=True,  # nobody could say anything to it before the commit
    )  # fmt: skip


def _as_json(news: list[NewSession]) -> str:
    rows = [
        {
            "ord": ord,
            "session_id": new.session_id,
            "parent_id": new.parent_id,
            "on_parent_abort": new.on_parent_abort,
            "owner": new.owner,
            "idem_key": new.idem_key,
            "params_hash": new.params_hash.hex(),
            "task": new.task,
            "repo": new.repo,
            "base": new.base,
            "branch": new.branch,
            "agent": new.agent,
            "spec": new.spec,
            "labels": new.labels,
            "wanted_spoke": new.wanted_spoke,
            "requires": new.requires,
            "sandbox": new.sandbox,
            "priority": new.priority,
            "grant_depth": new.grant_depth,
            "grant_children": new.grant_children,
            "queue_ms": new.queue_ms,
            "run_ms": new.run_ms,
        }
        for ord, new in enumerate(news)
    ]
    return to_json(rows).decode()


async def _why_not(
    db: Database, new: NewSession, row: SpawnRow | None = None
) -> Stored | CallError:
    if new.idem_key is not None:
        known = await queries.session_of_key.one(db, new.owner, new.idem_key)
        if known is not None and known.params_hash == new.params_hash:
            return Stored(known.session_id, created=False)
        if known is not None:
            return _key_conflict(new, known.session_id)
    if (
        row is not None
        and new.parent_id is not None
        and (row.parent_desired != "run" or row.parent_state in ENDED)
    ):
        return _no_parent(new, row)
    if new.wanted_spoke is not None:
        known_by_it = await queries.spoke_views.all(db, new.wanted_spoke)
        if all(spoke.revoked_at is not None for spoke in known_by_it):
            return no_spoke(new.wanted_spoke)
    holder = await queries.holder_of_branch.one(db, new.repo, new.branch)
    if holder is not None:
        return _branch_taken(new, holder.session_id)
    # What stood in the way has ended between the two statements.
    return Unavailable("TRY_AGAIN", "something changed at that moment", retry_after_ms=10)


_PARENT_ADVICE: Final = "spawn it under a session that runs, or without parentSessionId"


def _no_parent(new: NewSession, row: SpawnRow | None = None) -> CallError:
    parent: dict[str, JsonValue] = {"parentSessionId": new.parent_id}
    if row is None or row.parent_state is None:
        return NotFound("PARENT_NOT_FOUND", f"no session {new.parent_id}", details=parent)
    if row.parent_desired == "abort" or row.parent_state is State.ABORTING:
        return FailedPrecondition(
            "PARENT_ABORTED",
            f"{new.parent_id} is being aborted, and all below it",
            advice=_PARENT_ADVICE,
            details=parent,
        )
    return FailedPrecondition(
        "PARENT_ENDED",
        f"{new.parent_id} has ended ({row.parent_state})",
        advice=_PARENT_ADVICE,
        details=parent,
    )


def _quota(depth: int, live: int, children: int) -> CallError:
    why = (
        "this session may not spawn any deeper"
        if depth < 1
        else f"this session has {live} live children of {children} that it may have"
    )
    return ResourceExhausted(
        "QUOTA_EXCEEDED",
        why,
        advice="wait for a child to end (coordctl wait), or ask for a larger grant at spawn",
        details={"depth": depth, "children": live, "limit": children},
        retryable=False,
    )


def _key_conflict(new: NewSession, holder: str) -> CallError:
    return Conflict(
        "IDEMPOTENCY_CONFLICT",
        f"the key {new.idem_key!r} was used for other parameters",
        advice=f"use another key, or look at what it made: coordctl status {holder}",
        details={"sessionId": holder},
    )


def _branch_taken(new: NewSession, holder: str) -> CallError:
    return Conflict(
        "REF_CONFLICT",
        f"the branch {new.branch} is held by {holder}",
        advice=f"choose another branch, or abort it: coordctl abort {holder}",
        details={"sessionId": holder, "branch": new.branch},
    )
