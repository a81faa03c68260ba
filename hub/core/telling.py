"""What the session above is told of a record of one below it: a line in its own story. Pure.

It is told when somebody is needed: a question, silence, a failure, and when that is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pydantic import JsonValue

from protocol.ops.wire import Record

Body = Mapping[str, JsonValue]

_DOING: Final = {
    "start": "while it starts",
    "model": "while it waits for its model",
    "tool": "while a tool runs",
    "provider": "while its provider makes it wait",
}


class Said(NamedTuple):
    """``body`` has the whole in `text`, for people."""

    kind: str
    body: dict[str, JsonValue]


class Told(NamedTuple):
    """``record``: of which, by its number in the spool."""

    record: int
    kind: str
    body: dict[str, JsonValue]


def of_all(first: int, records: Sequence[Record]) -> list[Told]:
    """What is told of the records ``first``, ``first``+1, ..."""
    said = [(n, of(record)) for n, record in enumerate(records, first)]
    return [Told(n, *one) for n, one in said if one is not None]


def of(record: Record) -> Said | None:
    match record.kind, record.body.get("event"):
        case "agent", "asked":
            return _asked(record.body)
        case "agent", "decided" if "question" in record.body:  # else a rule decided
            return _decided(record.body)
        case "agent", "silent":
            return _silent(record.body)
        case "agent", "heard":
            return Said("child_heard", {"text": "it is heard again"})
        case "exited", _ if record.body.get("outcome") == "failed":
            return _failed(record.body)
        case _:
            return None


def _asked(body: Body) -> Said:
    kept = _part(body, "question", "tool", "what", "until", "unanswered")
    text = f"asks whether it may {body.get('tool')}: {body.get('what')}"
    return Said("child_asked", {**kept, "text": text})


def _decided(body: Body) -> Said:
    kept = _part(body, "question", "decision", "by")
    text = f"question {body.get('question')}: {body.get('decision')}, by {body.get('by')}"
    return Said("child_decided", {**kept, "text": text})


def _silent(body: Body) -> Said:
    kept = _part(body, "since", "doing", "what", "toolSince", "endsAt")
    doing = _DOING.get(str(body.get("doing")), "while it works")
    what = f" ({body['what']})" if body.get("what") else ""
    return Said("child_silent", {**kept, "text": f"gives no signal, {doing}{what}"})


def _failed(body: Body) -> Said:
    """With what the hub does about it; `stop`: nothing."""
    failure, policy = _object(body.get("failure")), _object(body.get("policy"))
    kept = _part(policy, "action", "until")
    kept |= _part(failure, "kind", "message")
    action = kept.setdefault("action", "stop")
    done = policy.get("why") if action != "stop" else None
    said = dict.fromkeys(str(part) for part in (body.get("reason"), body.get("message")) if part)
    text = f"failed: {done or ': '.join(said) or 'no reason'}"
    return Said("child_failed", {**kept, "text": text})


def _part(body: Body, *names: str) -> dict[str, JsonValue]:
    return {name: body[name] for name in names if body.get(name) is not None}


def _object(value: JsonValue) -> Body:
    return value if isinstance(value, dict) else {}
