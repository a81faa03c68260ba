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

from pydantic import JsonValue
from pydantic_core import to_json

from hub.bells import Bell, Bells
from hub.store import Sessions
from hub.store.rows import EventRow, StoryRow
from protocol.ops.wire import Record

PAGE = 500  # events in one item of a stream,
PAGE_CHARS = 150_000  # and characters of text: six bytes each at the worst, and a frame is 1 MiB
EVENT_CHARS = 32  # what an event weighs without its text
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
            self._recent[session_id].append(
                [
                    EventRow(
                        first + n,
                        datetime.fromtimestamp(record.at / 1_000, UTC),
                        attempt,
                        record.kind,
                        record.body,
                    )
                    for n, record in enumerate(records)
                ]
            )
        self._bells.ring(session_id)

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
    chars = 0
    for n, row in enumerate(rows):
        chars += EVENT_CHARS + _chars(row.body)
        if n and chars > PAGE_CHARS:
            return rows[:n]
    return rows


def _chars(body: JsonValue) -> int:
    """What a body weighs: text by its length, what is nested by that of its JSON."""
    parts = body.items() if isinstance(body, dict) else ()
    return sum(
        len(name) + (len(part) if isinstance(part, str) else len(to_json(part)))
        for name, part in parts
    )
