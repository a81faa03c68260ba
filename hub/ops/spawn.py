"""coord.spawn: store a session, place it or wake placement, answer when it is as far as asked."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from pydantic import JsonValue
from pydantic_core import to_json

from hub.bells import SPAWNED
from hub.core import briefing, permitted, roles
from hub.core.placement import Waiting
from hub.desk import Asked, Desk, check_reach
from hub.ops import views
from hub.ops.aborting import abort_one
from hub.ops.registry import Operation
from hub.store.rows.sessions import ViewRow
from hub.store.spawning import Chosen, NewSession, Stored
from protocol import ids, tokens, words
from protocol.agents import is_named
from protocol.errors import CallError, FailedPrecondition, InvalidArgument
from protocol.ops.catalogue import SPAWN, Role
from protocol.ops.spawning import Spawned, SpawnParams, Until
from protocol.sandbox import strictest
from protocol.session import State

_FAR_ENOUGH: dict[Until, frozenset[State]] = {
    "queued": frozenset(State),
    "assigned": frozenset(State) - {State.QUEUED},
    "running": frozenset(State) - {State.QUEUED, State.ASSIGNED, State.STARTING},
}


async def spawn(desk: Desk, asked: Asked[SpawnParams]) -> Spawned:
    """Spawn, and wait as far as ``until`` says.

    When the call is aborted while it waits, so is the session it made: its caller would never
    learn of it. When only the caller's link is lost, the session goes on.
    """
    params = asked.params
    new = _new_session(desk, asked, params)
    storing = asyncio.create_task(_store(desk, asked, params, new))
    try:
        with desk.bells.listening(new.session_id) as bell:
            stored = await asyncio.shield(storing)
            if stored.created:
                if params.until == "queued":
                    return _accepted(new, stored)
                await bell.wait()  # nothing is to be seen before
        row = await wait_for(desk, stored.session_id, params.until)
    except asyncio.CancelledError:
        await asyncio.shield(_take_back(desk, asked, storing))
        raise
    return _answer(row, stored)


async def _take_back(desk: Desk, asked: Asked[object], storing: asyncio.Task[Stored]) -> None:
    with suppress(CallError):  # it was not stored
        stored = await storing
        if stored.created:
            why = "its spawn was aborted"
            await abort_one(desk, stored.session_id, asked.principal.owner, why)


async def _store(desk: Desk, asked: Asked[object], params: SpawnParams, new: NewSession) -> Stored:
    """Make a session durable, and place it or wake placement."""
    if new.parent_id is not None:
        await check_reach(desk, asked.principal, new.parent_id, own=True)
    is_within = asked.principal.role is Role.SESSION
    if is_within:
        new = await _within_permissions(desk, await _within_grant(desk, new), params)
    if new.wanted_spoke is not None and new.sandbox != "off":
        spoke = await desk.store.exchange.spoke(new.wanted_spoke)  # not a wait for ever
        permitted.check_holds(spoke.name, spoke.sandboxes if spoke.online else None, new.sandbox)
    if is_within:
        stored = await desk.store.spawner.spawn_within_grant(new)
    else:
        stored = await _store_and_place(desk, new)
    if stored.created and stored.placed is None:
        desk.bells.ring(SPAWNED)
        if new.parent_id is not None:
            desk.bells.ring(new.parent_id)
    return stored


async def _store_and_place(desk: Desk, new: NewSession) -> Stored:
    """Store a session, and place it by the same commit where there seems to be room."""
    room = None if new.parent_id is not None else desk.outlook.room_for(_waiting(new))
    if room is None:
        return await desk.store.spawner.spawn(new)
    token = tokens.new(tokens.Kind.SESSION)
    chosen = Chosen(room.spoke_id, room.epoch, tokens.digest(token))
    stored = await desk.store.spawner.spawn(new, chosen)
    if stored.placed is not None:
        desk.outlook.fill(room.spoke_id)
        desk.spokes.deliver([stored.placed], {new.session_id: token})
        desk.bells.ring(new.session_id)
    return stored


def _waiting(new: NewSession) -> Waiting:
    return Waiting(new.session_id, new.wanted_spoke, new.requires, new.sandbox, new.agent)


def _new_session(desk: Desk, asked: Asked[object], params: SpawnParams) -> NewSession:
    session_id = ids.new_session()
    layers = roles.layers(desk.roles, params)
    instructions = roles.instructions(desk.roles, params)
    params = roles.applied(desk.roles, params)
    permitted.check_asks(params, layers)
    if params.branch is not None:
        words.check_branch(params.branch)
    if params.base is not None:
        words.check_base(params.base)
    words.check_repo(params.repo, allow_local=True)  # whether it may is for the spoke to say
    if params.command is None and is_named(params.agent):
        raise InvalidArgument(
            "BAD_VALUE",
            f"the {params.agent} agent needs a command",
            advice=f"coordctl spawn TASK --agent {params.agent} -- PROGRAM",
            details={"field": "command"},
        )
    return NewSession(
        session_id=session_id,
        parent_id=params.parent_session_id or asked.principal.session_id,
        on_parent_abort=params.on_parent_abort,
        owner=asked.principal.owner,
        idem_key=params.idempotency_key,
        params_hash=_fingerprint(params) if params.idempotency_key is not None else b"",
        task=params.task,
        repo=params.repo,
        base=params.base,
        branch=params.branch or words.branch_for(params.task, session_id),
        agent=params.agent,
        spec={
            "prompt": briefing.prompt(params.prompt, params.assignment),
            "command": params.command,
            "args": list(params.args),
            "env": dict(params.env),
            "stdin": params.stdin,
            **_fallback(params),
            **({"permissions": layers} if layers else {}),
            **_role(params, instructions),
            **_fence(desk, params),
            **_bound(params),
        },
        labels=params.labels,
        wanted_spoke=params.spoke,
        requires=params.requires,
        sandbox=params.sandbox or "off",
        priority=params.priority,
        grant_depth=params.grant_depth,
        grant_children=params.grant_children,
        queue_ms=params.queue_timeout_ms,
        run_ms=params.run_timeout_ms,
    )


def _role(params: SpawnParams, instructions: str) -> dict[str, JsonValue]:
    said = {
        "model": params.model,
        "instructions": instructions,
        "mission": briefing.mission(params.assignment) if params.assignment else "",
    }
    return {name: text for name, text in said.items() if text}


def _fallback(params: SpawnParams) -> dict[str, JsonValue]:
    if not params.fallback:
        return {}
    for one in params.fallback:
        if one.command is None and is_named(one.agent):
            raise InvalidArgument(
                "BAD_VALUE", f"the {one.agent} agent needs a command", details={"field": "fallback"}
            )
    return {"fallback": [one.model_dump() for one in params.fallback]}


def _fence(desk: Desk, params: SpawnParams) -> dict[str, JsonValue]:
    """A replaceable session carries the time after which its agent ends itself."""
    if params.on_lost == "keep":
        return {}
    return {"fence_ms": int(desk.settings.fence_seconds * 1_000)}


def _bound(params: SpawnParams) -> dict[str, JsonValue]:
    if params.max_silence_ms is None:
        return {}
    if params.agent == "command":
        raise InvalidArgument(
            "BAD_VALUE",
            "only the silence of an agent that has turns has a bound",
            advice="choose an agent (--agent), or bound its whole time: --run-timeout 30m",
            details={"field": "maxSilenceMs"},
        )
    return {"max_silence_ms": params.max_silence_ms}


async def _within_grant(desk: Desk, new: NewSession) -> NewSession:
    """A child's rights are its parent's, less one level, whoever above the parent asks; and no
    sandbox of its own is wider."""
    above = await desk.store.spawner.grant_of(new.parent_id or "")
    return replace(
        new,
        grant_depth=max(0, min(new.grant_depth, above.depth - 1)),
        grant_children=min(new.grant_children, above.children),
        sandbox=strictest(new.sandbox, above.sandbox),
    )


async def _within_permissions(desk: Desk, new: NewSession, params: SpawnParams) -> NewSession:
    """What a session may not do itself, what it spawns may not do for it."""
    above = await desk.store.questions.layers(new.parent_id or "")
    permitted.check_within(above, params)
    layers = [*above, *roles.layers(desk.roles, params)]
    permitted.check_asks(roles.applied(desk.roles, params), layers)
    return replace(new, spec={**new.spec, "permissions": layers}) if layers else new


def _fingerprint(params: SpawnParams) -> bytes:
    """What two calls with one idempotency key must have in common; not how long they wait."""
    return hashlib.sha256(to_json(params.model_dump(exclude={"idempotency_key", "until"}))).digest()


async def wait_for(desk: Desk, id: str, until: Until) -> ViewRow:
    enough = _FAR_ENOUGH[until]
    with desk.bells.listening(id) as bell:
        while (await desk.store.sessions.story(id)).state not in enough:
            await bell.wait()
    return await desk.store.sessions.view(id)


def _accepted(new: NewSession, stored: Stored) -> Spawned:
    """What the commit made of it."""
    placed = stored.placed
    return Spawned(
        session_id=new.session_id,
        state=State.QUEUED if placed is None else State.ASSIGNED,
        task=new.task,
        branch=new.branch,
        attempt=0 if placed is None else placed.attempt,
        created=True,
    )


def _answer(row: ViewRow, stored: Stored) -> Spawned:
    if stored.created and row.started_at is None and row.state in (State.FAILED, State.LOST):
        raise _not_started(row)
    return views.spawned(row, created=stored.created)


def _not_started(row: ViewRow) -> CallError:
    result = views.object_of(row.result)
    return FailedPrecondition(
        row.reason or "SPAWN_FAILED",
        str(result.get("message") or f"{row.session_id} could not be started: {row.reason}"),
        advice=str(result.get("advice") or f"coordctl logs --events {row.session_id}"),
        details={"sessionId": row.session_id, "state": row.state, "at": _iso(row.finished_at)},
    )


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


OPERATION = Operation(SPAWN, spawn)
