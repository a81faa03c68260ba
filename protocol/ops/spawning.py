"""Parameters and answers of `coord.spawn` and `coord.swarm`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from protocol.ops.questions import Permissions
from protocol.ops.roles import Assignment
from protocol.ops.shapes import (
    Environment,
    Labels,
    Milliseconds,
    Params,
    Path,
    Shape,
    Text,
    Word,
)
from protocol.sandbox import Sandbox
from protocol.session import State

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
    #: failed when its agent, which has turns, says nothing for so long while no tool of it runs
    max_silence_ms: Annotated[Milliseconds, Field(ge=1)] | None = None
    grant_depth: Depth = 3  #: how many levels this session may spawn below itself
    grant_children: Children = 8  #: how many live children it may have
    permissions: Permissions | None = None  #: of its agent's tools; without, all is allowed
    sandbox: Sandbox | None = None  #: that of its role, or off; below a session, not wider than its
    role: Word | None = None  #: one of `coord.roles`; what is said here goes first
    model: Word | None = None  #: of its agent, in that agent's words
    assignment: Assignment | None = None  #: told behind the prompt, and in a file


class SpawnParams(Work):
    task: Word
    prompt: Text = ""
    branch: Word | None = None  #: coord/<task>-<id> where none is said


class Spawned(Shape):
    session_id: str
    state: State  #: at least ``until``; where nobody waits, `queued` may be behind it already
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
