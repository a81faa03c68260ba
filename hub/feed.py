"""The stories of sessions, live: what was just stored, from memory; everything else, from Postgres.

A reader has one position, the last sequence number it was given, and asks for what comes after.
Whether that comes from memory or from the database, it starts exactly there: there is no seam to
get wrong. Nothing is kept for a slow reader; it reads on from the database.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from pydantic_core import to_json

from hub.bells import Bell, Bells
from hub.store import Sessions
from hub.store.rows.exchange import EventRow, StoryRow
from protocol.ops.wire import Record

PAGE = 500  # events read at once, for one item of a stream,
PAGE_BYTES = 512 * 1_024  # and their bytes; one alone may have as many, and a frame is 1 MiB
EVENT_BYTES = 160  # what an event weighs without its body, at most
RECENT = 64  # batches kept for a session that somebody reads


class Feed:
    def __init__(self, sessions: Sessions, bells: Bells) -> None:
        self._sessions = sessions
        self._bells = bells
        self._readers: Counter[str] = Counter()
        self._recent: defaultdict[str, deque[list[EventRow]]] = defaultdict(
            lambda: deque(maxlen=RECENT)
        )

    def stored(self, session_id: str, first: int, attempt: int, records: Sequence[Record]) -> None:
        """Records were stored as the events ``first``, ``first``+1, ..."""
        if session_id in self._readers:
            # What a supervisor wrote at once has one time.
            times = {at: datetime.fromtimestamp(at / 1_000, UTC) for at, _, _ in records}
            self._recent[session_id].append(
                [
                    EventRow(seq, times[at], attempt, kind, body)
                    for seq, (at, kind, body) in enumerate(records, first)
                ]
            )
        self._bells.ring(session_id)

    def is_last(self, session_id: str, seq: int) -> bool:
        """Whether that is the last event that was stored here, as far as is at hand."""
        recent = self._recent.get(session_id)
        return recent is not None and recent[-1][-1].seq == seq

    @contextmanager
    def reading(self, session_id: str) -> Generator[Bell]:
        """While somebody reads it, what is stored of it is kept at hand; with its bell."""
        self._readers[session_id] += 1
        try:
            with self._bells.listening(session_id) as bell:
                yield bell
        finally:
            self._readers[session_id] -= 1
            if not self._readers[session_id]:
                del self._readers[session_id]
                self._recent.pop(session_id, None)

    async def after(self, session_id: str, story: StoryRow, seq: int) -> list[EventRow]:
        """The next events after ``seq``; none when the reader has all there is."""
        for batch in self._recent.get(session_id, ()):
            if batch[0].seq == seq + 1:
                return _page(batch)
        return _page(await self._sessions.events(story, session_id, seq, PAGE))


def _page(rows: list[EventRow]) -> list[EventRow]:
    """As many, at least one, as one frame surely takes."""
    if _size(rows) <= PAGE_BYTES:
        return rows
    room = PAGE_BYTES
    for n, row in enumerate(rows):
        room -= _size([row])
        if n and room < 0:
            return rows[:n]
    return rows


def _size(rows: list[EventRow]) -> int:
    return len(rows) * EVENT_BYTES + len(to_json([row.body for row in rows]))
