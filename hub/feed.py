"""The stories of sessions, live: what was just stored, from memory; everything else, from Postgres.

A reader has one position, the last sequence number it was given, and asks for what comes after.
Whether that comes from memory or from the database, it starts exactly there: there is no seam to
get wrong. Nothing is kept for a slow reader; it reads on from the database.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import JsonValue

from hub.bells import Bells
from hub.store import Sessions
from hub.store.rows import StoryRow
from protocol.ops.sessions import Event
from protocol.ops.wire import Record

PAGE = 500  # events in one item of a stream; 500 lines of 200 characters are a tenth of a frame
RECENT = 64  # batches kept for a session that somebody reads


class Feed:
    def __init__(self, sessions: Sessions, bells: Bells) -> None:
        self._sessions = sessions
        self._bells = bells
        self._recent: defaultdict[str, deque[list[Event]]] = defaultdict(
            lambda: deque(maxlen=RECENT)
        )

    def stored(self, session_id: str, first: int, attempt: int, records: Sequence[Record]) -> None:
        """Records were stored as the events ``first``, ``first``+1, ..."""
        if self._bells.heard(session_id):
            self._recent[session_id].append(
                [
                    Event.model_construct(
                        seq=first + n,
                        at=datetime.fromtimestamp(record.at / 1_000, UTC),
                        attempt=attempt,
                        kind=record.kind,
                        body=record.body,
                    )
                    for n, record in enumerate(records)
                ]
            )
        self._bells.ring(session_id)

    def forget(self, session_id: str) -> None:
        """Nobody reads it any more."""
        if not self._bells.heard(session_id):
            self._recent.pop(session_id, None)

    async def after(self, session_id: str, story: StoryRow, seq: int) -> list[Event]:
        """The next events after ``seq``; none when the reader has all there is."""
        for batch in self._recent.get(session_id, ()):
            if batch[0].seq == seq + 1:
                return batch
        return [
            Event(
                seq=row.seq, at=row.at, attempt=row.attempt, kind=row.kind, body=_object(row.body)
            )
            for row in await self._sessions.events(story, session_id, seq, PAGE)
        ]


def _object(body: JsonValue) -> dict[str, JsonValue]:
    return body if isinstance(body, dict) else {}
