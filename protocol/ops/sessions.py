"""Parameters and answers of the operations on sessions that exist."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from protocol.ops.shapes import (
    Count,
    Flag,
    Json,
    Labels,
    Limit,
    Line,
    Milliseconds,
    Moment,
    Params,
    Shape,
    Text,
    Word,
)
from protocol.ops.spawning import OnParentAbort, Until
from protocol.sandbox import Sandbox
from protocol.session import Activity, Desired, State


class StatusParams(Params):
    session_id: Word | None = None  #: one session, by its whole id
    ref: Word | None = None  #: an id, the start of one, a branch or a task
    tree: Word | None = None  #: a session and all below it
    parent: Word | None = None  #: the children of a session
    states: Annotated[list[State], Field(max_length=16)] | None = None
    live: Flag | None = None  #: only sessions that have not ended (True), or that have (False)
    spoke: Word | None = None
    labels: Labels = Field(default_factory=dict[str, str])
    limit: Limit = 100
    after: Word | None = None  #: `next` of the page before


class Usage(Shape):
    """Of the current attempt's agent. What is not known is absent."""

    tokens_in: Count = 0
    tokens_out: Count = 0
    cost_usd: float | None = None  #: as the agent reckons it
    context_percent: float | None = None  #: how full the model's context is
    model: str | None = None


class UsageSum(Shape):
    """Of several conversations. An unknown price stays unknown."""

    tokens_in: Count = 0
    tokens_out: Count = 0
    cost_usd: float | None = None  #: None: that of at least one conversation is not known
    known_cost_usd: float | None = None  #: of the others


class TreeUsage(UsageSum):
    """Of a session and all below it."""

    sessions: Count = 1  #: how many these are


class FailureView(Shape):
    """Why an agent's turn failed."""

    kind: str  #: one of the kinds of `protocol/failure.py`
    message: str
    advice: str
    retry_at: Count | None = None  #: ms since 1970


class PastFailure(Shape):
    """A failure of the session's agent, and what the hub did about it."""

    attempt: int
    agent: str
    kind: str  #: one of the kinds of `protocol/failure.py`
    message: str
    #: fresh: again, in a new conversation; fallback: the next agent of its chain; wait: once its
    #: account is open again; stop: it has failed
    action: Literal["fresh", "fallback", "wait", "stop"]


class Silence(Shape):
    """Nothing came from an agent that is to do something. Times are ms since 1970."""

    since: Moment
    doing: Literal["start", "model", "tool", "provider"]  #: or waits for
    what: str | None = None  #: the tool that runs
    tool_since: Moment | None = None
    ends_at: Moment | None = None  #: when its turn is ended, if it stays silent


class AgentView(Shape):
    """What an agent with turns says of itself."""

    session_id: str | None = None  #: its own id of the conversation
    note: str | None = None  #: why it is rate_limited or waiting
    until: Moment | None = None  #: and until when, ms since 1970
    question: Count | None = None  #: the number of the question that it waits for
    silent: Silence | None = None  #: it is to do something, and has said nothing for a while
    usage: Usage | None = None
    total: UsageSum | None = None  #: of all its attempts
    failure: FailureView | None = None  #: that ended it
    committed: bool | None = None  #: when it has ended: whether its branch has a new commit


class AbortView(Shape):
    abort_id: str
    reason: str
    asked_at: datetime
    confirmed: bool | None = None  #: None while under way


class SessionView(Shape):
    session_id: str
    task: str
    state: State
    desired: Desired
    activity: Activity | None
    reason: str | None  #: why it is in this state, where that needs saying
    state_since: datetime
    parent_session_id: str | None
    root_session_id: str
    depth: int
    on_parent_abort: OnParentAbort
    attempt: int
    agent: str
    repo: str
    branch: str
    base_commit: str | None
    worktree: str | None
    spoke: str | None
    labels: dict[str, str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    exit_code: int | None
    last_seq: int
    saved_ref: str | None = None  #: where its uncommitted work was saved last
    abort: AbortView | None
    agent_state: AgentView | None = None  #: of an agent with turns
    account: str = ""  #: whose limits it shares: its agent's, or agent/label `account`
    limited_until: datetime | None = None  #: that account's provider takes nothing before
    failures: list[PastFailure] = []  #: of its agents, since a person started it last
    sandbox: Sandbox = "off"  #: that was asked for; once it runs, that which holds it


class Status(Shape):
    sessions: list[SessionView]
    next: str | None = None
    stale: bool = False  #: the database is away: this is what the hub saw last
    stale_since: datetime | None = None
    usage: TreeUsage | None = None  #: where one session or one tree was asked for


class MessageParams(Params):
    session_id: Word
    text: Text
    mode: Literal["queue", "steer", "interrupt"] = "queue"
    on_unsupported: Literal["degrade", "fail"] = "degrade"
    message_id: Word | None = None  #: the same id said twice is delivered once
    wait_ms: Milliseconds = 5_000  #: how long to wait for the delivery


class Delivered(Shape):
    message_id: str
    mode: Literal["queue", "steer", "interrupt"]  #: the mode in effect
    state: Literal["queued", "delivered", "consumed", "failed"]
    reason: str | None = None


class AbortParams(Params):
    session_id: Word
    reason: Line = ""
    grace_ms: Milliseconds | None = None  #: from INT to KILL; the spoke's ladder where none is said
    now: Flag = False  #: KILL at once
    force: Flag = False  #: give up what is out of reach: aborted, and nobody saw it dead
    wait: Flag = True  #: answer when all is seen dead, or at the deadline of the call
    wait_ms: Milliseconds = 60_000


class Ended(Shape):
    """One session of a receipt."""

    session_id: str
    task: str
    spoke: str | None
    before: State
    after: State
    confirmed: bool  #: nothing of it is left alive, and somebody saw that
    ended_by: str | None = None  #: itself, SIGINT, SIGTERM, SIGKILL, or never_started
    ended_at: datetime | None = None
    processes: int = 0  #: how many were ended
    survivors: int = 0
    exit_code: int | None = None
    saved_ref: str | None = None  #: where its uncommitted work was saved
    pending: str | None = None  #: why it is not confirmed yet


class AbortedCall(Shape):
    call_id: str
    op: str
    session_id: str


class Receipt(Shape):
    abort_id: str
    session_id: str
    accepted_at: datetime
    complete: bool  #: every session of the tree is confirmed
    sessions: list[Ended]
    calls: list[AbortedCall]  #: calls in flight made by these sessions
    spared: list[str]  #: children that were spawned to continue


class ResumeParams(Params):
    session_id: Word
    spoke: Word | None = None  #: name or id; where it was, if none is said
    elsewhere: Flag = False  #: on another spoke than where it was
    accept_loss: Flag = False  #: although a newer state was saved where it cannot be reached
    reason: Line = ""
    until: Until = "running"


class Resumed(Shape):
    session: SessionView
    saved_commit: str | None = None  #: the newest state that it goes on from, where one was saved
    lost: str = ""  #: what was left behind, where that was accepted


class EventsParams(Params):
    session_id: Word
    after: Count = 0  #: the last sequence number already seen
    tail: Count | None = None  #: only the last N of what is there, then go on
    follow: Flag = True  #: go on until the session has ended
    kinds: Annotated[list[Word], Field(max_length=64)] | None = None


class Event(Shape):
    seq: int
    at: datetime
    attempt: int
    kind: str
    body: dict[str, Json]


class EventBatch(Shape):
    """One item of the stream: what was there, or arrived, at one moment."""

    events: list[Event]


class EventsEnd(Shape):
    last_seq: int
    state: State


class WaitParams(Params):
    session_ids: Annotated[list[Word], Field(max_length=500)] = []
    below: Word | None = None  #: all that is live below this one, or is spawned there meanwhile
    #: attention: it asks something, is silent, is parked, is out of reach, or has ended
    until: Literal["running", "ended", "attention"] = "ended"
    mode: Literal["all", "any"] = "all"
    timeout_ms: Milliseconds | None = None


class Waited(Shape):
    reached: bool  #: False: the time was over first
    sessions: list[SessionView]


class NotifyParams(Params):
    level: Literal["info", "warning", "blocking"] = "info"
    text: Text
    session_id: Word | None = None  #: from inside a session it is that session


class Notified(Shape):
    session_id: str
    seq: int


class ExplainParams(Params):
    session_id: Word


class Explanation(Shape):
    session: SessionView
    fact: str  #: what it is waiting for, or how it ended
    since: datetime
    next: str  #: what happens by itself
    next_at: datetime | None  #: and when
    you_can: list[str]  #: commands
