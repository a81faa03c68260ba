"""An error as it crosses the wire, and back."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from protocol.errors import BY_CODE, CallError, Internal


def error_body(error: CallError) -> dict[str, object]:
    """An error as it crosses the wire: `{code, message, data}`."""
    return {
        "code": error.number,
        "message": error.message,
        "data": {
            "code": error.code,
            "reason": error.reason,
            "retryable": error.retryable,
            "retryAfterMs": error.retry_after_ms,
            "advice": error.advice,
            "details": error.details,
        },
    }


def error_of(body: Mapping[str, JsonValue]) -> CallError:
    """The error in a wire body. An unknown code is Internal and not retryable."""
    found = body.get("data")
    data = found if isinstance(found, dict) else {}
    kind = BY_CODE.get(str(data.get("code")), Internal)
    details = data.get("details")
    after = data.get("retryAfterMs")
    return kind(
        str(data.get("reason", "UNKNOWN")),
        str(body.get("message", "")),
        advice=str(data.get("advice", "")),
        details=details if isinstance(details, dict) else None,
        retryable=data.get("retryable") is True,
        retry_after_ms=after if isinstance(after, int) else None,
    )
