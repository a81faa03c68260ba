"""What hub and spoke say to each other about sessions: orders down, records up."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import Field, JsonValue, StrictInt

from protocol.limits import MAX_INTEGER
from protocol.ops.shapes import (
    Attempt,
    Count,
    Flag,
    Json,
    Line,
    Milliseconds,
    Params,
    Path,
    Shape,
    Word,
)
from protocol.sandbox import Sandbox

Epoch = Annotated[StrictInt, Field(ge=0, le=MAX_INTEGER)]

#: What a record of an attempt may be. The first five move the session; the rest is its transcript.
RECORD_KINDS: Final = frozenset({
    "starting", "running", "exited", "delivered", "undelivered",
    "noted", "stdout", "stderr", "dropped", "agent",
})  # fmt: skip


class PermissionLayer(Shape):
    """What one who may say so allows: the first rule that matches, else the default."""

    rules: list[str] = []  #: as `protocol/permissions.py` reads them
    default: Literal["allow", "ask", "deny"] = "allow"
    answer_within_ms: Milliseconds
    unanswered: Literal["allow", "deny"] = "deny"  #: what holds when nobody has answered


class StartOrder(Shape):
    """Everything a spoke needs to run one attempt."""

    task: str
    prompt: str
    repo: str
    base: str | None
    branch: str
    agent: str
    command: str | None
    args: list[str]
    env: dict[str, str]
    stdin: Literal["open", "closed"]
    parent_session_id: str | None
    worktree: str | None  #: of the attempt before, when it was on this spoke
    resume: Flag  #: the branch is ours already, and the worktree holds its newest state
    resumed: Flag = False  #: an attempt before this one ran, here or elsewhere
    begun_at: str | None = None  #: the commit at which its branch began
    saved: str | None = None  #: the newest commit that its work was saved as
    agent_session_id: str | None = None  #: the agent's own, to go on with
    brief: str = ""  #: what a new conversation is told of the ones before, ahead of the prompt
    permissions: list[PermissionLayer] = []  #: of several, the strictest decides
    sandbox: Sandbox = "off"  #: at least
    asked: Count = 0  #: how many questions attempts before this one have asked
    model: str | None = None
    instructions: str = ""  #: of its role, for its system prompt
    mission: str = ""  #: what MISSION.md is to say
    credential: str  #: the session token of this attempt; never stored by the hub
    fence_ms: Milliseconds | None = None  #: without contact for so long, it ends itself
    max_silence_ms: Milliseconds | None = None  #: its agent may say nothing for so long


class MessageOrder(Shape):
    message_id: str
    text: str
    mode: str = "queue"
    sender: str | None = None  #: a session id when it comes from another session: untrusted text


class AnswerOrder(Shape):
    """To a question of this attempt. ``by``: who gave it."""

    question: Count
    decision: Literal["allow", "deny"]
    message: str = ""
    by: str


class StopOrder(Shape):
    outcome: Literal["aborted", "blocked"]
    reason: str
    grace_ms: Milliseconds | None = None
    now: Flag = False
    abort_id: str | None = None


class Order(Shape):
    """One line of a spoke's outbox. ``seq`` grows by one; a seq seen before is not acted on."""

    seq: Count
    kind: Literal["start", "message", "answer", "stop", "forget"]
    session_id: Word
    attempt: Attempt
    body: StartOrder | MessageOrder | AnswerOrder | StopOrder | None = None


class OrdersParams(Params):
    epoch: Epoch
    orders: Annotated[list[Order], Field(max_length=512)]


class Refusal(Shape):
    seq: Count
    reason: str


class OrdersTaken(Shape):
    """Answered once the orders are on disk."""

    accepted: Count  #: the highest sequence number on disk
    refused: list[Refusal] = []


class Record(NamedTuple):
    """One record of the spool, as it is on the wire. ``at`` is the spoke's clock, ms since 1970."""

    at: int
    kind: str  #: one of RECORD_KINDS
    body: dict[str, JsonValue]


class AppendParams(Params):
    """Records ``first``, ``first``+1, ... of one attempt, in order.

    A record is `[at, kind, body]`: at in ms since 1970 by the spoke's clock; the body of `stdout`
    and `stderr` is the text itself, or `{text, raw, part}` where the bytes were not clean UTF-8
    (raw: base64 of the exact bytes) or the line goes on in the next record (part: true).
    """

    epoch: Epoch
    session_id: Word
    attempt: Attempt
    first: Annotated[StrictInt, Field(ge=1, le=MAX_INTEGER)]
    records: Annotated[list[list[Json]], Field(max_length=1_024)]


class Appended(Shape):
    """``verdict``: ok; `stale_epoch` = reconnect, touch nothing; `superseded` = stop that run."""

    verdict: Literal["ok", "stale_epoch", "superseded"]
    stored: Count  #: the highest record the hub has; the next append starts after it


class Saved(Params):
    """Where the work of an attempt was saved, or why it could not be.

    `wip`: `refs/coord/wip/<session>`, written again and again; `salvage`: what a superseded
    attempt left, at `refs/coord/salvage/<session>/<attempt>`.
    """

    epoch: Epoch = 0
    session_id: Word
    attempt: Attempt
    kind: Literal["wip", "salvage"]
    ref: Word
    commit: Word | None = None  #: None: there was nothing that its repository does not have
    pushed: Flag = False  #: its repository has the ref too
    pushed_commit: Word | None = None  #: the newest state that its repository has
    final: Flag = False  #: written after the agent was seen dead
    why: Line = ""  #: it was not saved, or not pushed


class SavedTaken(Shape):
    """``verdict`` as of `session.append`; of a superseded attempt only the story is told."""

    verdict: Literal["ok", "stale_epoch"]


class HeartbeatParams(Params):
    """``n``: to be confirmed under this number, once it is written down that we were heard."""

    epoch: Epoch
    live: Count
    n: Count | None = None
    load: Annotated[list[float], Field(max_length=3)] = []


class HeardParams(Params):
    """A beat was heard, and that is written down: what was said before it counts as contact."""

    epoch: Epoch
    n: Count


class InspectParams(Params):
    session_id: Word
    worktree: Path
    branch: Word
    base_commit: Word | None = None


class Inspected(Shape):
    exists: Flag
    head: str | None = None
    dirty: Flag = False
    dirty_paths: list[str] = []
    ahead: Count = 0  #: commits on the branch that no ref of the remote has
    merged: Flag = False
    pushed: Flag = False
    saved_ref: str | None = None
    saved: Flag = False  #: the ref holds exactly what is there
    left_out: list[str] = []  #: what no ref can hold
    source_away: str = ""  #: why its repository could not be asked; then nothing counts as pushed


class RemoveParams(Params):
    session_id: Word
    worktree: Path
    branch: Word
    force: Flag  #: also what no ref can hold; all else is saved to a ref first
    delete_branch: Flag
    remote_branch: Flag = False  #: at its repository too, if the default branch has all of it
    why: Line = ""


class Removed(Shape):
    removed: Flag
    saved_ref: str | None = None
    trash: str | None = None  #: under which name it can be had back
    branch_kept: str | None = None  #: its commits are nowhere else
    remote_kept: str | None = None  #: why the branch of the repository stays, if it was to go
    reason: Line = ""


class TrashItem(Shape):
    """A removed worktree that can be had back."""

    id: str
    session_id: str
    repo: str
    branch: str
    removed_at: datetime
    gone_at: datetime  #: then it is erased, unless it has to make room earlier
    bytes: int | None = None  #: None: not counted yet
    why: str = ""


class Trash(Shape):
    items: list[TrashItem]


class GiveBackParams(Params):
    id: Word


class GivenBack(Shape):
    session_id: str
    worktree: str
    branch: str


class FoundWorktree(Shape):
    session_id: str
    worktree: str
    branch: str


class FoundAttempt(Shape):
    session_id: str
    attempt: int
    damaged: Flag = False  #: its spool cannot be read: it is left alone


class FoundRef(Shape):
    session_id: str
    ref: str
    commit: str
    repo: str


class Survey(Shape):
    """All that a spoke has of sessions."""

    attempts: list[FoundAttempt]
    worktrees: list[FoundWorktree]
    saved: list[FoundRef]  #: below refs/coord
    branches: list[FoundRef]  #: made for a session that has no worktree here


class InventoryItem(Shape):
    """One attempt that the spoke holds on disk."""

    session_id: Word
    attempt: Attempt
    state: Literal["starting", "running", "exited"]
    last_record: Count  #: of its spool
    started_at: datetime | None = None
