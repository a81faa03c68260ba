"""What a switchboard knows of one call in flight."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.effects import LinkId
from protocol.errors import CallError
from protocol.frames import Call, CallId, Outcome


@dataclass(slots=True)
class InFlight:
    call: Call
    said: CallId  # what the link that placed it calls it
    parent: CallId | None
    placed_by: LinkId | None  # None: this process placed it, or its caller waits no more
    runs_on: LinkId | None  # None: this process runs it
    counted_on: LinkId | None = None  # the link that has this one in flight
    let_go: bool = False  # its caller was answered before it was over
    children: set[CallId] = field(default_factory=lambda: set())  # `set[CallId]` costs 3 us
    aborted: CallError | None = None
    outcome: Outcome | None = None  # known, but held back until the children settle
    items: int = 0  # sent, or received
    granted: int | None = None  # how many items may be sent in all; None: no limit
