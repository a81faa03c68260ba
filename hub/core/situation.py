"""All that is known of a session when somebody asks why it is where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from protocol.session import State


@dataclass(frozen=True, slots=True)
class Parked:
    """It waits for its account. ``within``: how long after the limit it is woken at the latest."""

    account: str
    since: datetime
    until: datetime
    said: str
    within: timedelta


@dataclass(frozen=True, slots=True)
class Asks:
    number: int
    what: str
    until: datetime | None
    unanswered: str  #: allow or deny


@dataclass(frozen=True, slots=True)
class Silent:
    """Its agent, which works, says nothing. ``tool``: what runs meanwhile, and since when."""

    since: datetime
    doing: str  #: start, model, tool or provider
    tool: str | None
    tool_since: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Closed:
    """The spoke that it wants takes nothing just now. ``shut``: cordoned or draining, if it is."""

    spoke: str
    online: bool
    shut: str | None


@dataclass(frozen=True, slots=True)
class Situation:
    session_id: str
    state: State
    since: datetime
    reason: str | None
    aborting: bool
    spoke: str | None
    spoke_online: bool | None
    spoke_seen_at: datetime | None
    wanted_spoke: str | None
    closed: Closed | None
    requires: dict[str, str]
    sandbox: str
    queue_deadline: datetime | None
    run_deadline: datetime | None
    exit_code: int | None
    lost_after: timedelta
    spokes_online: int
    spokes_fitting: int  #: online, not cordoned, with the labels; whether or not they have room
    worktree: str | None
    said: str | None  #: of how it ended, in a sentence; where there is one
    now: datetime
    not_before: datetime | None  #: it is not placed earlier
    placed_at: datetime | None  #: its start order was written, or the spoke was last welcome since
    taken: bool  #: the start order is on the spoke's disk
    take_within: timedelta
    lease_ends: datetime | None  #: its spoke is silent: when that is called out of reach
    replaced_at: datetime | None  #: it is replaceable: when it is started elsewhere
    stop_waits_since: datetime | None  #: a stop order that its spoke has not taken
    asks: Asks | None  #: what its agent waits to be told whether it may
    silent: Silent | None
    doubt: str | None  #: why nobody is called out of reach, or given up, just now
    parked: Parked | None  #: while it is queued
    tried: Sequence[str]  #: what failed before, each with what was done about it
    advice: str | None  #: what to do about the failure that ended it
