"""All spokes, sessions and questions at one moment: read once for all who watch."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from hub.desk import Desk
from hub.ops import views
from hub.store.rows.sessions import PageRow, ViewRow
from hub.store.rows.spokes import SpokeRow
from hub.store.sessions import Filters
from hub.web import asked
from hub.web.asked import QuestionLine
from hub.web.lines import shown
from protocol.errors import CallError, Internal
from protocol.ops.shapes import Shape

logger = logging.getLogger(__name__)

CHANGED: Final = "overview"  #: the bell that rings when it is another than before
LOOK_SECONDS: Final = 0.4
SESSIONS: Final = 500  #: the live ones first, then the newest
NAME_CHARS: Final = 200
REASON_CHARS: Final = 400


class SpokeLine(Shape):
    spoke_id: str
    name: str
    state: str  #: online or offline
    mark: str  #: cordoned, draining or nothing
    slots: int
    live: int
    seen: int | None  #: ms since 1970
    labels: list[str]


class SessionLine(Shape):
    session_id: str
    parent: str | None
    depth: int  #: levels below the topmost one that is shown
    task: str
    state: str
    ended: bool
    mark: str  #: "unconfirmed" where an end was not seen
    activity: str
    branch: str
    spoke: str
    reason: str
    since: int  #: when it came into this state; ms since 1970
    attempt: int
    agent: str
    repo: str
    worktree: str


class Overview(Shape):
    questions: list[QuestionLine]
    spokes: list[SpokeLine]
    sessions: list[SessionLine]
    live: dict[str, int]  #: how many sessions there are in each live state, shown or not
    more: bool  #: there are sessions that are not shown


class Board:
    """Looks while somebody watches."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._watchers = 0
        self._looking: asyncio.Task[None] | None = None
        self._text: str | None = None
        self.version = 0
        self.error: CallError | None = None

    def text(self) -> str | None:
        """The newest overview as JSON with the time beside it. None before the first look."""
        if self._text is None:
            return None
        return f'{{"now":{now()},"overview":{self._text}}}'

    @contextmanager
    def watched(self) -> Generator[None]:
        """Within it the board is kept up to date; CHANGED rings."""
        self._watchers += 1
        if self._looking is None:  # what was seen the last time is of no use any more
            self._text, self.error, self.version = None, None, 0
            self._looking = asyncio.create_task(self._look(), name="overview")
        try:
            yield
        finally:
            self._watchers -= 1
            if self._watchers == 0:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        while True:
            try:
                self._set((await read(self._desk)).model_dump_json(by_alias=True), None)
            except CallError as error:
                logger.warning("no overview: %s", error)
                self._set(None, error)
            except Exception:  # nobody is to watch a picture that stands still
                logger.exception("no overview")
                self._set(None, Internal("INTERNAL", "a fault of ours; the log says more"))
            await asyncio.sleep(LOOK_SECONDS)

    def _set(self, text: str | None, error: CallError | None) -> None:
        if text != self._text or error is not self.error:
            self._text, self.error = text, error
            self.version += 1
            self._desk.bells.ring_here(CHANGED)


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


async def read(desk: Desk) -> Overview:
    """Raises Unavailable when the database is away."""
    store = desk.store
    page = await store.sessions.page(_filters(ended=False, limit=SESSIONS))
    if len(page) < SESSIONS:
        page += await store.sessions.page(_filters(ended=True, limit=SESSIONS - len(page)))
    rows = await store.sessions.views(_ids(page))
    return Overview(
        questions=await asked.read(desk),
        spokes=[spoke_line(row) for row in await store.exchange.spokes()],
        sessions=[session_line(row, depth) for depth, row in forest(rows)],
        live=await store.access.live_by_state(),
        more=len(page) == SESSIONS,
    )


def spoke_line(row: SpokeRow) -> SpokeLine:
    labels = views.labels(row.labels)
    return SpokeLine(
        spoke_id=row.spoke_id,
        name=shown(row.name, NAME_CHARS),
        state="online" if row.online else "offline",
        mark="draining" if row.draining else "cordoned" if row.cordoned else "",
        slots=row.slots,
        live=row.live,
        seen=None if row.last_seen_at is None else _ms(row.last_seen_at),
        labels=[shown(f"{key}={value}", NAME_CHARS) for key, value in sorted(labels.items())],
    )


def session_line(row: ViewRow, depth: int) -> SessionLine:
    return SessionLine(
        session_id=row.session_id,
        parent=row.parent_id,
        depth=depth,
        task=shown(row.task, NAME_CHARS),
        state=str(row.state),
        ended=row.state.ended,
        mark="unconfirmed" if row.state == "aborted" and row.abort_confirmed is False else "",
        activity=_activity(row),
        branch=shown(row.branch, NAME_CHARS),
        spoke=shown(row.spoke or "", NAME_CHARS),
        reason=shown(row.reason or "", REASON_CHARS),
        since=_ms(row.state_since),
        attempt=row.attempt,
        agent=shown(row.agent, NAME_CHARS),
        repo=shown(row.repo, NAME_CHARS),
        worktree=shown(row.worktree or "", REASON_CHARS),
    )


def _activity(row: ViewRow) -> str:
    said = views.session(row).agent_state
    if said is None or said.silent is None:
        return row.activity or ""
    since = f"{datetime.fromtimestamp(said.silent.since / 1_000, UTC):%H:%M:%S} UTC"
    fact = "a tool runs" if said.silent.doing == "tool" else "no signal"
    return f"{row.activity}, {fact} since {since}"


def forest(rows: Sequence[ViewRow]) -> list[tuple[int, ViewRow]]:
    """Parents before their children, with the depth of each: trees in which something lives come
    first, then the newest; children in the order of their birth. A session whose parent is not
    among ``rows`` stands at the top."""
    known = {row.session_id for row in rows}
    below: defaultdict[str | None, list[ViewRow]] = defaultdict(list)
    for row in sorted(rows, key=_birth):
        below[row.parent_id if row.parent_id in known else None].append(row)
    living = {row.root_id for row in rows if not row.state.ended}
    tops = sorted(below[None], key=lambda row: (row.root_id in living, _birth(row)))
    found: list[tuple[int, ViewRow]] = []
    stack = [(0, row) for row in tops]  # the last one is the first to be shown
    while stack:
        depth, row = stack.pop()
        found.append((depth, row))
        stack += [(depth + 1, child) for child in reversed(below[row.session_id])]
    return found


def _birth(row: ViewRow) -> tuple[datetime, str]:
    return row.created_at, row.session_id


def _filters(*, ended: bool, limit: int) -> Filters:
    return Filters(None, None, ended, None, {}, None, limit)


def _ids(page: Iterable[PageRow]) -> list[str]:
    return [row.session_id for row in page]


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1_000)
