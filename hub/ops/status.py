"""coord.status: one session, a tree, or all that match, page by page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from hub.desk import Asked, Desk, check_reach
from hub.ops import views
from hub.ops.registry import Operation
from hub.store.rows.sessions import PageRow
from hub.store.sessions import Filters
from protocol.errors import InvalidArgument, Unavailable
from protocol.ops.catalogue import STATUS, Role
from protocol.ops.sessions import Status, StatusParams, TreeUsage


async def status(desk: Desk, asked: Asked[StatusParams]) -> Status:
    """From the database; while that is away, what this hub saw last, for those who see all."""
    try:
        said = await _from_database(desk, asked)
    except Unavailable as away:
        if asked.principal.role is Role.SESSION or asked.params.after is not None:
            raise
        return desk.memory.status(asked.params, away)
    desk.memory.keep(said.sessions)
    return said


async def _from_database(desk: Desk, asked: Asked[StatusParams]) -> Status:
    params = asked.params
    match params:
        case StatusParams(session_id=str(id)):
            await check_reach(desk, asked.principal, id, own=True)
            found = [views.session(await desk.store.sessions.view(id))]
            return Status(sessions=found, usage=await _usage(desk, id))
        case StatusParams(ref=str(ref)):
            own = asked.principal.session_id or ""
            top = own if asked.principal.role is Role.SESSION else None
            rows = await desk.store.sessions.matching(ref, top)
            return await _shown(desk, [row.session_id for row in rows])
        case StatusParams(tree=str(root)):
            await check_reach(desk, asked.principal, root, own=True)
            tree = await desk.store.sessions.tree(root)
            shown = await _shown(desk, [row.session_id for row in tree])
            return shown.model_copy(update={"usage": await _usage(desk, root)})
        case _:
            return await _page(desk, asked)


async def _page(desk: Desk, asked: Asked[StatusParams]) -> Status:
    params = asked.params
    if asked.principal.role is Role.SESSION and params.parent is None:
        # A session sees its own children; a list of everything is not for it.
        params = params.model_copy(update={"parent": asked.principal.session_id})
    if params.parent is not None:
        await check_reach(desk, asked.principal, params.parent, own=True)
    filters = Filters(
        parent=params.parent,
        states=params.states,
        ended=None if params.live is None else not params.live,
        spoke=params.spoke,
        labels=params.labels,
        before=None if params.after is None else _cursor(params.after),
        limit=params.limit,
    )
    page = await desk.store.sessions.page(filters)
    shown = await _shown(desk, [row.session_id for row in page])
    more = len(page) == params.limit
    return Status(sessions=shown.sessions, next=_cursor_text(page[-1]) if more else None)


async def _shown(desk: Desk, ids: Sequence[str]) -> Status:
    rows = {row.session_id: row for row in await desk.store.sessions.views(ids)}
    return Status(sessions=[views.session(rows[id]) for id in ids if id in rows])


async def _usage(desk: Desk, root: str) -> TreeUsage:
    return TreeUsage.model_validate(asdict(await desk.store.usage.of_tree(root)))


def _cursor_text(row: PageRow) -> str:
    return base64.urlsafe_b64encode(
        f"{row.created_at.isoformat()} {row.session_id}".encode()
    ).decode()


def _cursor(text: str) -> tuple[datetime, str]:
    try:
        at, _, id = base64.urlsafe_b64decode(text).decode().partition(" ")
        when = datetime.fromisoformat(at)
        if when.tzinfo is not None and id.isascii() and id.isprintable():
            return when, id
    except ValueError:
        pass
    raise InvalidArgument(
        "BAD_CURSOR", "after is not a `next` that was given here", details={"field": "after"}
    )


OPERATION = Operation(STATUS, status)
