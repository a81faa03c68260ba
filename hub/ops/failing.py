"""How an attempt ended, with what is decided about it where its agent has failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from hub.core import failing
from hub.core.failing import Action, Before, Decision, Failed, Limit, Past
from hub.ops.views import object_of
from hub.store.policy import Policy
from hub.store.rows.policy import FailuresRow
from protocol.failure import FailureKind
from protocol.ops.spawning import Fallback
from protocol.ops.wire import Record

_CHAIN: Final[TypeAdapter[list[Fallback]]] = TypeAdapter(list[Fallback])
_MESSAGE_CHARS: Final = 500


async def judged(store: Policy, session_id: str, attempt: int, record: Record) -> Record:
    """An `exited` record as it is stored: the hub's own decision is part of it, and no other."""
    body = {name: value for name, value in record.body.items() if name != "policy"}
    said = object_of(body.get("failure"))
    if body.get("outcome") != "failed" or not said:
        return record._replace(body=body)
    row = await store.failures(session_id, attempt)
    if row is None:  # it is superseded, as it will be told
        return record._replace(body=body)
    failed, chain = _failed(attempt, row.agent, said), _chain(row.fallback)
    decision = failing.decide(failed, _past(row, chain))
    return record._replace(body={**body, "policy": _policy(failed, decision, chain)})


def _failed(attempt: int, agent: str, said: Mapping[str, JsonValue]) -> Failed:
    message, retry_at = str(said.get("message") or ""), said.get("retryAt")
    try:
        kind = FailureKind(str(said.get("kind")))
    except ValueError:  # of a newer spoke
        kind = FailureKind.UNKNOWN
    when = retry_at if type(retry_at) is int else None
    return Failed(attempt, agent, kind, message[:_MESSAGE_CHARS], when)


def _past(row: FailuresRow, chain: Sequence[Fallback]) -> Past:
    entries = row.failures if isinstance(row.failures, list) else []
    before = [object_of(one) for one in entries]
    return Past(
        before=[Before(str(one.get("kind")), str(one.get("action"))) for one in before],
        chain=[one.agent for one in chain],
        limit=Limit(row.limited_until, row.open_at, row.strikes),
        now=row.now,
    )


def _chain(value: JsonValue) -> list[Fallback]:
    try:
        return _CHAIN.validate_python(value or [])
    except ValidationError:  # of another version of ours
        return []


def _policy(failed: Failed, decision: Decision, chain: Sequence[Fallback]) -> dict[str, JsonValue]:
    """As `follow_policy` in sql/schema.sql takes it."""
    entry: dict[str, JsonValue] = {
        "attempt": failed.attempt,
        "agent": failed.agent,
        "kind": str(failed.kind),
        "message": failed.message,
        "action": str(decision.action),
    }
    policy: dict[str, JsonValue] = {
        "action": str(decision.action),
        "why": decision.why,
        "entry": entry,
    }
    if decision.until is not None:
        until = int(decision.until.timestamp() * 1_000)
        policy |= {"until": until, "strikes": decision.strikes}
        entry["retryAt"] = until
    if decision.action is Action.FALLBACK and decision.link is not None:
        link = chain[decision.link]
        policy["fallback"] = {
            "agent": link.agent, "command": link.command, "args": list(link.args),
            "model": None,  # that of the agent before, which this one may not know
        }  # fmt: skip
    return policy
