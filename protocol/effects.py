"""What the switchboard asks its node to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from protocol.errors import CallError
from protocol.frames import Call, CallId, Frame, Goaway, Notice, Outcome

LinkId = NewType("LinkId", str)


@dataclass(frozen=True, slots=True)
class Send:
    """Put a frame on a link."""

    link: LinkId
    frame: Frame


@dataclass(frozen=True, slots=True)
class Run:
    """Start the local handler of a call; report back with `settle`."""

    link: LinkId
    call: Call


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel the local handler of a call; it still reports back with `settle`."""

    id: CallId
    why: CallError


@dataclass(frozen=True, slots=True)
class Answer:
    """Hand the outcome of a call to whoever placed it in this process."""

    id: CallId
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand one item of a stream to whoever placed the call in this process."""

    id: CallId
    value: object


@dataclass(frozen=True, slots=True)
class GoOn:
    """The reader of a stream takes more: its handler may go on to `emit`."""

    id: CallId


@dataclass(frozen=True, slots=True)
class Hear:
    """A notice or a goaway arrived: not a call, not answered."""

    link: LinkId
    frame: Notice | Goaway


@dataclass(frozen=True, slots=True)
class Accuse:
    """The peer broke a rule of the wire; the call it meant is unaffected."""

    link: LinkId
    what: str


Effect = Send | Run | Stop | Answer | Deliver | GoOn | Hear | Accuse
