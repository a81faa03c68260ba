"""Rows as they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from hub.store.rows.sessions import ViewRow
from hub.store.rows.spokes import SpokeRow
from protocol.ops.sessions import AbortView, AgentView, PastFailure, SessionView
from protocol.ops.spawning import Spawned
from protocol.ops.spokes import SpokeView
from protocol.sandbox import strictest
from protocol.session import Activity, Desired, State

_LABELS: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])
_OF_NOW: Final = frozenset({"note", "until", "question", "silent"})  #: true while it runs
_FAILURES: TypeAdapter[list[PastFailure]] = TypeAdapter(list[PastFailure])


def labels(value: JsonValue) -> dict[str, str]:
    return _LABELS.validate_python(value)


def object_of(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def saved_ref(row: ViewRow) -> str | None:
    """Where its work is saved; None: nowhere, and that may be right."""
    said = object_of(row.saved).get("ref") or object_of(row.result).get("savedRef")
    return said if isinstance(said, str) else None


def session(row: ViewRow) -> SessionView:
    return SessionView(
        session_id=row.session_id,
        task=row.task,
        state=row.state,
        desired=Desired(row.desired),
        activity=None if row.activity is None else Activity(row.activity),
        reason=row.reason,
        state_since=row.state_since,
        parent_session_id=row.parent_id,
        root_session_id=row.root_id,
        depth=row.depth,
        on_parent_abort=(
            "continue-running" if row.on_parent_abort == "continue-running" else "abort-dependents"
        ),
        attempt=row.attempt,
        agent=row.agent,
        repo=row.repo,
        branch=row.branch,
        base_commit=row.base_commit,
        worktree=row.worktree,
        spoke=row.spoke,
        labels=labels(row.labels),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        exit_code=row.exit_code,
        last_seq=row.last_seq,
        saved_ref=saved_ref(row),
        abort=_abort(row),
        agent_state=_agent(row),
        account=row.account,
        limited_until=None if row.state.ended else row.limited_until,
        failures=failures(row.failures),
        sandbox=strictest(row.sandbox, row.runs_in),
    )


def failures(value: JsonValue) -> list[PastFailure]:
    return _FAILURES.validate_python(value)


def _agent(row: ViewRow) -> AgentView | None:
    state, result = object_of(row.agent_state), object_of(row.result)
    if row.state is not State.RUNNING:
        state = {name: value for name, value in state.items() if name not in _OF_NOW}
    if row.agent_session_id is None and not state and "failure" not in result:
        return None
    ended = {name: result[name] for name in ("failure", "committed") if name in result}
    try:
        return AgentView.model_validate({"sessionId": row.agent_session_id, **state, **ended})
    except ValidationError:  # a spoke of another version, or a lying one: the rest is shown
        return AgentView(session_id=row.agent_session_id)


def _abort(row: ViewRow) -> AbortView | None:
    if row.abort_id is None or row.abort_asked_at is None:
        return None
    return AbortView(
        abort_id=row.abort_id,
        reason=row.abort_reason or "",
        asked_at=row.abort_asked_at,
        confirmed=row.abort_confirmed,
    )


def spawned(row: ViewRow, *, created: bool) -> Spawned:
    return Spawned(
        session_id=row.session_id,
        state=row.state,
        task=row.task,
        branch=row.branch,
        attempt=row.attempt,
        created=created,
        worktree=row.worktree,
        base_commit=row.base_commit,
        spoke=row.spoke,
        reason=row.reason,
    )


def spoke(row: SpokeRow) -> SpokeView:
    state = "revoked" if row.revoked_at is not None else "online" if row.online else "offline"
    return SpokeView(
        spoke_id=row.spoke_id,
        name=row.name,
        state=state,
        cordoned=row.cordoned,
        draining=row.draining,
        labels=labels(row.labels),
        slots=row.slots,
        live=row.live,
        version=row.version,
        last_seen_at=row.last_seen_at,
        detail=dict(object_of(row.detail)),
        sandboxes=row.sandboxes,
    )
