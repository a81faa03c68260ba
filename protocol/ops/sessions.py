"""Parameters and answers of the operations on sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StrictInt

from protocol.ops.questions import Permissions
from protocol.ops.roles import Assignment
from protocol.ops.shapes import (
    Count,
    Environment,
    Flag,
    Json,
    Labels,
    Limit,
    Line,
    Milliseconds,
    Params,
    Path,
    Shape,
    Text,
    Word,
)
from protocol.ops.wire import TrashItem
from protocol.session import Activity, Desired, State

Until = Literal["queued", "assigned", "running"]
OnParentAbort = Literal["abort-dependents", "continue-running"]
#: keep: wait for a spoke that is out of reach, then call the session lost. replace: start it anew
#: elsewhere; its agent ends itself first when its spoke loses contact for too long.
OnLost = Literal["keep", "replace"]
Depth = Annotated[StrictInt, Field(ge=0, le=16)]
Children = Annotated[StrictInt, Field(ge=0, le=1_000)]


class Fallback(Params):
    """Another agent, or the same with another model, that takes over where one has failed."""

    agent: Word
    command: Path | None = None  #: its program, where that is not the usual one
    args: Annotated[list[Text], Field(max_length=1_000)] = Field(default_factory=list[str])


class Work(Params):
    """What `coord.spawn` and `coord.swarm` have in common: where, from what, by whom."""

    repo: Path  #: https or ssh URL, or a path on the spoke's machine where it allows that
    base: Word | None = None  #: branch, tag or commit; the remote's default branch
    agent: Word = "command"
    command: Path | None = None  #: the program, for the command agent
    args: Annotated[list[Text], Field(max_length=1_000)] = Field(default_factory=list[str])
    fallback: Annotated[list[Fallback], Field(max_length=16)] = Field(
        default_factory=list[Fallback]
    )  #: in this order, each in a new conversation
    env: Environment = Field(default_factory=dict[str, str])
    stdin: Literal["open", "closed"] = "open"  #: open: messages are written to it, line by line
    parent_session_id: Word | None = None
    on_parent_abort: OnParentAbort = "abort-dependents"
    on_lost: OnLost = "keep"
    labels: Labels = Field(default_factory=dict[str, str])
    spoke: Word | None = None  #: name or id; nothing else will do
    requires: Labels = Field(default_factory=dict[str, str])  #: labels that the spoke must carry
    priority: Annotated[StrictInt, Field(ge=-100, le=100)] = 0
    idempotency_key: Word | None = None
    until: Until = "running"
    queue_timeout_ms: Milliseconds | None = None  #: aborted when not placed by then
    run_timeout_ms: Milliseconds | None = None  #: aborted when still running by then
    grant_depth: Depth = 3  #: how many levels this session may spawn below itself
    grant_children: Children = 8  #: how many live children it may have
    permissions: Permissions | None = None  #: of its agent's tools; without, all is allowed
    role: Word | None = None  #: one of `coord.roles`; what is said here goes first
    model: Word | None = None  #: of its agent, in that agent's words
    assignment: Assignment | None = None  #: told behind the prompt, and in a file


class SpawnParams(Work):
    task: Word
    prompt: Text = ""
    branch: Word | None = None  #: coord/<task>-<id> where none is said


class Spawned(Shape):
    session_id: str
    state: State
    task: str
    branch: str
    attempt: int
    created: bool  #: False: the idempotency key was known, this is the session it made then
    worktree: str | None = None
    base_commit: str | None = None
    spoke: str | None = None  #: its name
    reason: str | None = None


class SwarmTask(Params):
    task: Word
    prompt: Text | None = None
    branch: Word | None = None
    labels: Labels = Field(default_factory=dict[str, str])


class SwarmParams(Work):
    tasks: Annotated[list[Word | SwarmTask], Field(min_length=1, max_length=1_000)]
    prompt: Text = ""  #: `{{task}}` stands for the task
    branch_prefix: Word | None = None


class Trouble(Shape):
    """An error, as part of an answer about many things."""

    code: str
    reason: str
    message: str
    advice: str = ""


class SwarmResult(Shape):
    task: str
    session: Spawned | None = None
    error: Trouble | None = None


class Swarmed(Shape):
    results: list[SwarmResult]
    spawned: int
    failed: int


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


class AgentView(Shape):
    """What an agent with turns says of itself."""

    session_id: str | None = None  #: its own id of the conversation
    note: str | None = None  #: why it is rate_limited or waiting
    until: Count | None = None  #: and until when, ms since 1970
    question: Count | None = None  #: the number of the question that it waits for
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
    session_ids: Annotated[list[Word], Field(min_length=1, max_length=500)]
    until: Literal["running", "ended"] = "ended"
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


class CleanupParams(Params):
    session_ids: Annotated[list[Word], Field(max_length=500)] | None = None
    tree: Word | None = None
    force: Flag = False  #: also what no ref can hold; it stays in the trash for a while
    remote_branch: Flag = False  #: delete the branch at its repository too, where it is merged
    dry_run: Flag = False


class Cleaned(Shape):
    session_id: str
    branch: str
    worktree: str | None
    removed: bool
    reason: str  #: why it was removed, or why not
    steps: list[str] = []  #: what was done, or would be
    saved_ref: str | None = None
    trash: str | None = None  #: under which name it can be had back: `coordctl trash`


class Cleanup(Shape):
    results: list[Cleaned]


class RecoverParams(Params):
    apply: Flag = False  #: do it; else only say what would be done
    spoke: Word | None = None  #: only what concerns this one


class Finding(Shape):
    """A place where the records and the machines disagree."""

    kind: str
    session_id: str
    spoke: str | None
    what: str
    action: str  #: what is done about it; nothing, where a person has to look
    applied: bool = False
    trouble: str = ""  #: why it could not be done


class Recovery(Shape):
    findings: list[Finding]
    unasked: list[str]  #: spokes that could not be asked


class TrashListParams(Params):
    spoke: Word | None = None


class TrashEntry(TrashItem):
    spoke: str


class TrashList(Shape):
    items: list[TrashEntry]
    unasked: list[str]  #: spokes that could not be asked


class TrashRestoreParams(Params):
    id: Word
    spoke: Word


class ExplainParams(Params):
    session_id: Word


class Explanation(Shape):
    session: SessionView
    fact: str  #: what it is waiting for, or how it ended
    since: datetime
    next: str  #: what happens by itself
    next_at: datetime | None  #: and when
    you_can: list[str]  #: commands
