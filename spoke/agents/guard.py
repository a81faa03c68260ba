"""Whether an agent goes round in circles: in one turn it shortens its conversation, speaks, or
makes the same call again and again, and does nothing else. Pure.

The bounds are far above what work looks like: who waits for something asks with the same command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol.failure import Failure, FailureKind
from spoke.agents.tongue import Accepted, Compacted, Event, Text, ToolEnded, ToolStarted, TurnEnded

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPACTIONS: Final = 3  #: without a tool, or a message taken up, between them;
TEXTS: Final = 10  #: as these
CALLS: Final = 100  #: the same in a row


class Guard:
    """``found``: why the turn that runs is to be ended."""

    def __init__(self) -> None:
        self.found: Failure | None = None
        self._compactions = 0
        self._texts = 0
        self._titles: dict[str, str] = {}  #: of tools that were started
        self._call, self._calls = "", 0

    def watch(self, events: Sequence[Event]) -> list[Event]:
        """What was heard; a turn that was ended for its circles has failed for them."""
        return [self._watched(event) for event in events]

    def _watched(self, event: Event) -> Event:
        if not isinstance(event, TurnEnded):
            self._count(event)
            self.found = self.found or self._judged()
            return event
        found, self.found = self.found, None
        self._compactions = self._texts = self._calls = 0
        self._titles.clear()
        return event if found is None else TurnEnded("failed", found)

    def _count(self, event: Event) -> None:
        match event:
            case Compacted():
                self._compactions += 1
            case Text():
                self._texts += 1
            case Accepted():
                self._compactions = self._texts = 0
            case ToolStarted(id, title):
                self._compactions = self._texts = 0
                self._titles[id] = title
            case ToolEnded(id, _, note):
                self._called(note or self._titles.get(id, ""))
            case _:
                pass

    def _called(self, title: str) -> None:
        """A title of one word names a tool, and not what it was called with."""
        is_same = " " in title and title == self._call
        self._call, self._calls = title, self._calls + 1 if is_same else 1

    def _judged(self) -> Failure | None:
        """What never fits its model is a full context; the rest is an agent that broke."""
        if self._compactions >= COMPACTIONS:
            text = (
                f"it shortened its conversation {COMPACTIONS} times in a row and did nothing else"
            )
            return Failure(FailureKind.CONTEXT_EXHAUSTED, text)
        if self._texts >= TEXTS:
            text = (
                f"it said {TEXTS} things in a row and did nothing, as when its context is too small"
            )
            return Failure(FailureKind.CONTEXT_EXHAUSTED, text)
        if self._calls >= CALLS:
            text = f"it made the same call {CALLS} times in a row: {self._call[:200]}"
            return Failure(FailureKind.SDK_ERROR, text)
        return None
