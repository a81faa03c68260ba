"""Sessions: reading them, telling them facts, aborting their trees, what is said to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from hub.store import queries
from hub.store.postgres import Postgres, again
from hub.store.rows.exchange import EventRow, LockedRow, MessageRow, StoryRow
from hub.store.rows.sessions import (
    MarkedRow,
    OverdueRow,
    PageRow,
    StopRow,
    TreeRow,
    ViewRow,
)
from hub.store.rows.shared import OrderedRow
from protocol.errors import Conflict, FailedPrecondition, NotFound
from protocol.session import Fact, State

Body = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Filters:
    parent: str | None
    states: Sequence[State] | None
    ended: bool | None
    spoke: str | None
    labels: dict[str, str]
    before: tuple[datetime, str] | None
    limit: int


class Sessions:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._pool = postgres.pool
        self._urgent = postgres.urgent

    async def views(self, ids: Sequence[str]) -> list[ViewRow]:
        """Those of ``ids`` that exist, newest first."""
        return await queries.session_views.all(self._pool, list(ids))

    async def view(self, id: str) -> ViewRow:
        found = await self.views([id])
        if not found:
            raise no_session(id)
        return found[0]

    async def page(self, f: Filters) -> list[PageRow]:
        at, id = f.before or (None, None)
        states = None if f.states is None else [str(state) for state in f.states]
        return await queries.list_sessions.all(
            self._pool, f.parent, states, f.ended, f.spoke, f.labels, at, id, f.limit
        )

    async def matching(self, ref: str, top: str | None = None) -> list[PageRow]:
        """Those that a word may mean; ``top``: of that session and all below it."""
        return await queries.match_sessions.all(self._pool, ref, top)

    async def tree(self, root: str) -> list[TreeRow]:
        """A session and all below it, top first."""
        found = await queries.tree_ids.all(self._pool, root)
        if not found:
            raise no_session(root)
        return found

    async def is_below(self, id: str, top: str) -> bool:
        """Whether a session is ``top`` or stands below it."""
        return (await queries.is_below.only(self._pool, id, top)).below

    async def tell(self, id: str, fact: Fact, why: str | None, body: Body) -> State | None:
        """The state after the fact, or None where the table of transitions refuses it."""
        return (await queries.tell_session.only(self._pool, id, str(fact), why, body)).state

    async def note(self, id: str, kind: str, body: Body) -> int:
        """Add one event of the hub's own to a session's story; its sequence number."""
        row = await queries.note_event.one(self._pool, id, kind, body)
        if row is None:
            raise no_session(id)
        return row.seq

    async def story(self, id: str) -> StoryRow:
        row = await queries.story_of.one(self._pool, id)
        if row is None:
            raise no_session(id)
        return row

    async def events(self, story: StoryRow, id: str, after: int, limit: int) -> list[EventRow]:
        return await queries.events_after.all(self._pool, story.birth_day, id, after, limit)

    async def overdue(self) -> list[OverdueRow]:
        return await queries.overdue_sessions.all(self._pool)

    async def abort(
        self, id: str, abort_id: str, asked_by: str, body: Body, *, upgrade: bool,
        only_in: State | None = None,
    ) -> list[MarkedRow]:  # fmt: skip
        """Mark a tree. Asking again gives the first abort's id and marks what has joined since.

        ``only_in``: the state that the decision saw. Raises FailedPrecondition (MOVED_ON) when
        the session is in another by now.
        """
        orders: Body = {**body, "outcome": "aborted"}
        asked = id, abort_id, asked_by, orders, upgrade, only_in
        marked = await again(lambda: queries.abort_tree.all(self._urgent, *asked))
        if not marked and only_in is not None:
            raise FailedPrecondition("MOVED_ON", f"{id} is not {only_in} any more")
        if not marked:
            raise no_session(id)
        return marked

    async def live_among(self, ids: Sequence[str]) -> list[str]:
        """Those of ``ids`` that have not ended."""
        return [row.session_id for row in await queries.live_among.all(self._pool, list(ids))]

    async def stops(self, ids: Sequence[str]) -> dict[str, StopRow]:
        """How far the orders to stop have come, of those whose spoke is online."""
        return {row.session_id: row for row in await queries.stops_of.all(self._pool, list(ids))}

    async def request_exit(self, id: str, body: Body) -> OrderedRow | None:
        """Order the safe exit that a session asked for. None: nothing of it runs."""
        return await queries.request_exit.one(self._pool, id, body)

    async def say(
        self, id: str, message_id: str, text: str, mode: str, sender: str | None
    ) -> OrderedRow | None:
        """Store a message and order its delivery. None: it waits for the agent to start.

        A message to a blocked session reopens it, and so does one to a session whose agent can
        take up its conversation again. Raises FailedPrecondition (ended, being aborted).
        """
        async with self._postgres.transaction() as db:
            session = await queries.lock_session.one(db, id)
            if session is None:
                raise no_session(id)
            known = await queries.message_state.one(db, message_id)
            if known is not None and known.session_id == id:
                return None
            reopens = _reopens(session)
            new = await queries.insert_message.one(db, message_id, id, text, mode, sender)
            if new is None:
                raise Conflict("IDEMPOTENCY_CONFLICT", f"{message_id} was said to another session")
            await queries.note_event.all(db, id, "message", _said(message_id, text, mode, sender))
            if reopens:
                await queries.reopen_session.all(db, id, "a message")
                return None
            if session.state is State.QUEUED:
                return None
            order = {"messageId": message_id, "text": text, "mode": mode, "sender": sender}
            return await queries.order_message.one(db, id, order)

    async def message(self, message_id: str) -> MessageRow | None:
        return await queries.message_state.one(self._pool, message_id)

    async def release_worktree(self, id: str, attempt: int) -> None:
        """What this attempt left is gone: nothing points at it any more."""
        await queries.drop_branch_hold.all(self._pool, id, attempt)


def no_session(id: str) -> NotFound:
    return NotFound(
        "SESSION_NOT_FOUND", f"no session {id[:64]!r}", advice="coordctl ps lists the live ones"
    )


def _reopens(session: LockedRow) -> bool:
    """Whether a message starts it again; who was aborted is started again by a resume alone.

    Raises FailedPrecondition where it would hear none.
    """
    id, is_aborted = session.session_id, session.desired == "abort"
    if not session.state.ended:
        if is_aborted:
            raise FailedPrecondition(
                "SESSION_ABORTED", f"{id} is being aborted", advice=f"coordctl explain {id}"
            )
        return False
    can_hear = session.state is State.BLOCKED or session.agent_session_id is not None
    if is_aborted or not can_hear:
        raise FailedPrecondition(
            "SESSION_ENDED",
            f"{id} has ended ({session.state})",
            advice=f"start it again first: coordctl resume {id}",
        )
    return True


def _said(message_id: str, text: str, mode: str, sender: str | None) -> Body:
    return {"messageId": message_id, "text": text, "mode": mode, "sender": sender}
