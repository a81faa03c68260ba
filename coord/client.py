"""Talk to a hub from a program: `async with coord.connect() as hub: await hub.call(...)`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Literal, TypedDict, Unpack

from coord.caller import Caller, link, params_of, read_answer
from coord.line import PATIENCE_SECONDS
from protocol.errors import LinkLost
from protocol.ops import catalogue as ops
from protocol.ops.keeping import Cleanup
from protocol.ops.questions import Answered, Permissions, Question
from protocol.ops.roles import Assignment
from protocol.ops.sessions import (
    Delivered,
    Event,
    EventBatch,
    Explanation,
    Notified,
    Receipt,
    Resumed,
    Status,
    Waited,
)
from protocol.ops.spawning import (
    Fallback,
    OnLost,
    OnParentAbort,
    Spawned,
    Swarmed,
    SwarmTask,
    Until,
)
from protocol.ops.spokes import SpokeView
from protocol.sandbox import Sandbox
from protocol.session import State


class Work(TypedDict, total=False):
    """What `spawn` and `swarm` may be told besides task and repository; times are in ms."""

    base: str
    agent: str
    command: str
    args: Sequence[str]
    fallback: Sequence[Fallback | Mapping[str, object]]
    env: Mapping[str, str]
    stdin: Literal["open", "closed"]
    parent_session_id: str
    on_parent_abort: OnParentAbort
    on_lost: OnLost
    labels: Mapping[str, str]
    spoke: str
    requires: Mapping[str, str]
    priority: int
    idempotency_key: str
    until: Until
    queue_timeout_ms: int
    run_timeout_ms: int
    max_silence_ms: int
    grant_depth: int
    grant_children: int
    permissions: Permissions | Mapping[str, object]
    sandbox: Sandbox
    role: str
    model: str
    assignment: Assignment | Mapping[str, object]


class Hub(Caller):
    """A hub, as seen by who asks it to do things.

    Each method is the operation of its name: keywords in, an answer with attributes out. All raise
    the CallError that the hub answered with, and LinkLost when the link goes first.
    """

    async def spawn(
        self, task: str, *, repo: str, prompt: str = "", branch: str | None = None,
        **work: Unpack[Work],
    ) -> Spawned:  # fmt: skip
        """Start a session. Answers when its worktree exists and its agent runs (see ``until``)."""
        given = {"task": task, "repo": repo, "prompt": prompt, "branch": branch}
        return await self.ask(ops.SPAWN, {**given, **work})

    async def swarm(
        self, tasks: Sequence[str | SwarmTask], *, repo: str, prompt: str = "",
        branch_prefix: str | None = None, **work: Unpack[Work],
    ) -> Swarmed:  # fmt: skip
        """Start many sessions; `{{task}}` in the prompt stands for the task."""
        given = {"tasks": list(tasks), "repo": repo, "prompt": prompt}
        return await self.ask(ops.SWARM, {**given, "branch_prefix": branch_prefix, **work})

    async def status(
        self, session_id: str | None = None, *, ref: str | None = None, tree: str | None = None,
        parent: str | None = None, states: Sequence[State] | None = None,
        live: bool | None = None, spoke: str | None = None,
        labels: Mapping[str, str] | None = None, limit: int = 100, after: str | None = None,
    ) -> Status:  # fmt: skip
        """One session, a tree, or all that match, page by page (``after``: `next` of a page)."""
        given = {
            "session_id": session_id, "ref": ref, "tree": tree, "parent": parent,
            "states": states, "live": live, "spoke": spoke, "labels": labels,
            "limit": limit, "after": after,
        }  # fmt: skip
        return await self.ask(ops.STATUS, given)

    async def message(
        self, session_id: str, text: str, *, mode: Literal["queue", "steer", "interrupt"] = "queue",
        on_unsupported: Literal["degrade", "fail"] = "degrade", message_id: str | None = None,
        wait_ms: int | None = None,
    ) -> Delivered:  # fmt: skip
        """Say something to a session's agent: delivered once, in order."""
        given = {
            "session_id": session_id, "text": text, "mode": mode,
            "on_unsupported": on_unsupported, "message_id": message_id, "wait_ms": wait_ms,
        }  # fmt: skip
        return await self.ask(ops.MESSAGE, given)

    async def questions(
        self, session_id: str | None = None, *, all: bool = False, limit: int | None = None
    ) -> list[Question]:
        """What agents ask whether they may, oldest first; ``all``: what is settled, too."""
        given = {"session_id": session_id, "all": all, "limit": limit}
        return (await self.ask(ops.QUESTIONS, given)).questions

    async def answer(
        self, session_id: str, decision: Literal["allow", "deny"], *, question: int | None = None,
        message: str = "", wait_ms: int | None = None,
    ) -> Answered:  # fmt: skip
        """Answer a question; the open one, if there is only one. ``message`` is for the agent."""
        given = {
            "session_id": session_id, "decision": decision, "question": question,
            "message": message, "wait_ms": wait_ms,
        }  # fmt: skip
        return await self.ask(ops.ANSWER, given)

    async def abort(
        self, session_id: str, *, reason: str = "", grace_ms: int | None = None,
        now: bool = False, force: bool = False, wait: bool = True, wait_ms: int | None = None,
    ) -> Receipt:  # fmt: skip
        """End a session and all below it. The receipt says what ended each, and what is pending."""
        given = {
            "session_id": session_id, "reason": reason, "grace_ms": grace_ms,
            "now": now, "force": force, "wait": wait, "wait_ms": wait_ms,
        }  # fmt: skip
        return await self.ask(ops.ABORT, given)

    async def resume(
        self, session_id: str, *, spoke: str | None = None, elsewhere: bool = False,
        accept_loss: bool = False, reason: str = "", until: Until | None = None,
    ) -> Resumed:  # fmt: skip
        """Start an ended session again with what it had done: where it was, or elsewhere."""
        given = {
            "session_id": session_id, "spoke": spoke, "elsewhere": elsewhere,
            "accept_loss": accept_loss, "reason": reason, "until": until,
        }  # fmt: skip
        return await self.ask(ops.RESUME, given)

    async def events(
        self, session_id: str, *, after: int = 0, tail: int | None = None, follow: bool = True,
        kinds: Sequence[str] | None = None,
    ) -> AsyncGenerator[Event]:  # fmt: skip
        """The story of a session after a sequence number, then live until it has ended.

        Each event once and in order, whatever happens to the link or the hub meanwhile.
        """
        given: dict[str, object] = {
            "session_id": session_id, "after": after, "tail": tail, "follow": follow,
            "kinds": kinds,
        }  # fmt: skip
        while True:
            await self._line.ready(None)  # raises when there is none any more
            batches = self.stream(ops.EVENTS.name, params_of(ops.EVENTS, given))
            try:
                async with aclosing(batches):
                    async for batch in batches:
                        for event in read_answer(EventBatch, batch).events:
                            given |= {"after": event.seq, "tail": None}
                            yield event
                    return
            except LinkLost:  # it could not be resumed: read on after the last one given out
                continue

    async def wait(
        self, *session_ids: str, below: str | None = None,
        until: Literal["running", "ended", "attention"] = "ended",
        mode: Literal["all", "any"] = "all", timeout_ms: int | None = None,
    ) -> Waited:  # fmt: skip
        """Answer when sessions, or all ``below`` one, have got somewhere, or the time is over."""
        given = {
            "session_ids": list(session_ids), "below": below, "until": until, "mode": mode,
            "timeout_ms": timeout_ms,
        }  # fmt: skip
        return await self.ask(ops.WAIT, given)

    async def notify(
        self, text: str, *, level: Literal["info", "warning", "blocking"] = "info",
        session_id: str | None = None,
    ) -> Notified:  # fmt: skip
        """From inside a session: tell its story. `blocking` ends it safely."""
        given = {"text": text, "level": level, "session_id": session_id}
        return await self.ask(ops.NOTIFY, given)

    async def cleanup(
        self, *session_ids: str, tree: str | None = None, force: bool = False,
        remote_branch: bool = False, dry_run: bool = False,
    ) -> Cleanup:  # fmt: skip
        """Remove worktrees whose work is merged, pushed or saved; without names, all such."""
        given = {
            "session_ids": list(session_ids) or None, "tree": tree, "force": force,
            "remote_branch": remote_branch, "dry_run": dry_run,
        }  # fmt: skip
        return await self.ask(ops.CLEANUP, given)

    async def explain(self, session_id: str) -> Explanation:
        """Why a session is where it is, what happens next, and what you can do."""
        return await self.ask(ops.EXPLAIN, {"session_id": session_id})

    async def spokes(self) -> list[SpokeView]:
        return (await self.ask(ops.SPOKE_LIST, {})).spokes


@asynccontextmanager
async def connect(
    url: str | None = None,
    token: str | None = None,
    *,
    name: str = "coord",
    patience: float = PATIENCE_SECONDS,
) -> AsyncGenerator[Hub]:
    """A hub to call: the given one, or the one that the environment or `coordctl up` names.

    A lost hub is dialled again for ``patience`` seconds before calls fail with LinkLost.
    Raises Unavailable (NO_HUB, HUB_UNREACHABLE), Unauthenticated, PermissionDenied,
    InvalidArgument, FailedPrecondition (VERSION). Calls in flight end with LinkLost on the way out.
    """
    async with link(url, token, name, patience) as parts:
        yield Hub(*parts)
