"""Everything that can go wrong, as one tree.

* CoordError
  * CallError                 a call was answered with an error; `code`, then `reason`, say which
    * BadFrame                PARSE_ERROR: the text was not a frame
    * InvalidRequest          INVALID_REQUEST: a frame, but not a request we can answer
    * Unimplemented           UNIMPLEMENTED: no such operation here
    * InvalidArgument         INVALID_ARGUMENT: `details` name the fields
    * Unauthenticated         UNAUTHENTICATED: who are you?
    * PermissionDenied        PERMISSION_DENIED: you may not
    * NotFound                NOT_FOUND: missing, or not yours to see
    * AlreadyExists           ALREADY_EXISTS
    * Conflict                CONFLICT: somebody else has it, or the same key said something else
    * FailedPrecondition      FAILED_PRECONDITION: not in this state
    * ResourceExhausted       RESOURCE_EXHAUSTED: a limit; try later or ask for less
    * OutOfRange              OUT_OF_RANGE: a cursor that is no longer there
    * Cancelled               CANCELLED: the call was aborted
    * DeadlineExceeded        DEADLINE_EXCEEDED
    * Unavailable             UNAVAILABLE: out of reach for now; the same call may be sent again
      * LinkLost              the link went before the answer came
    * DataLoss                DATA_LOSS
    * Internal                INTERNAL: a fault of ours
  * ProtocolViolation         the peer broke the rules of the wire; the link is closed
  * IllegalTransition         we broke the rules of the session table; a bug

`code` is one of gRPC's words (CONFLICT stands for gRPC's ABORTED, which here would be read as
coord.abort). `reason` is a finer, stable word. Programs branch on classes or on these two, never
on text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import JsonValue


class CoordError(Exception):
    """Root of every error raised by coord."""


class ProtocolViolation(CoordError):
    """The peer broke the rules of the wire; the link is closed with ``close_code``."""

    def __init__(self, close_code: int, message: str) -> None:
        self.close_code = close_code
        super().__init__(message)


class IllegalTransition(CoordError):
    """A session was told a fact that cannot happen in its state."""

    def __init__(self, state: str, fact: str) -> None:
        self.state = state
        self.fact = fact
        super().__init__(f"a {state} session cannot be told {fact!r}")


class CallError(CoordError):
    """A call was answered with an error.

    ``reason`` is a stable word; ``message`` says what and why; ``advice`` is one sentence with
    the next command to try; ``details`` is machine-readable; ``retry_after_ms`` is a hint.
    """

    code: ClassVar[str] = "INTERNAL"
    number: ClassVar[int] = -32803  # LSP RequestFailed; the JSON-RPC number on the wire
    retryable: bool = False

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        advice: str = "",
        details: Mapping[str, JsonValue] | None = None,
        retryable: bool | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        self.reason = reason
        self.message = message
        self.advice = advice
        self.details: dict[str, JsonValue] = dict(details or {})
        self.retry_after_ms = retry_after_ms
        if retryable is not None:
            self.retryable = retryable
        super().__init__(f"{reason}: {message}" + (f" ({advice})" if advice else ""))


class BadFrame(CallError):
    code = "PARSE_ERROR"
    number = -32700


class InvalidRequest(CallError):
    code = "INVALID_REQUEST"
    number = -32600


class Unimplemented(CallError):
    code = "UNIMPLEMENTED"
    number = -32601


class InvalidArgument(CallError):
    code = "INVALID_ARGUMENT"
    number = -32602


class Internal(CallError):
    code = "INTERNAL"
    number = -32603


class Cancelled(CallError):
    code = "CANCELLED"
    number = -32800  # LSP RequestCancelled


class Unavailable(CallError):
    code = "UNAVAILABLE"
    number = -32802  # LSP ServerCancelled
    retryable = True


class LinkLost(Unavailable):
    """The link went before the answer came: the call may or may not have happened."""


class DeadlineExceeded(CallError):
    code = "DEADLINE_EXCEEDED"


class NotFound(CallError):
    code = "NOT_FOUND"


class AlreadyExists(CallError):
    code = "ALREADY_EXISTS"


class PermissionDenied(CallError):
    code = "PERMISSION_DENIED"


class Unauthenticated(CallError):
    code = "UNAUTHENTICATED"


class ResourceExhausted(CallError):
    code = "RESOURCE_EXHAUSTED"
    retryable = True


class FailedPrecondition(CallError):
    code = "FAILED_PRECONDITION"


class Conflict(CallError):
    code = "CONFLICT"


class OutOfRange(CallError):
    code = "OUT_OF_RANGE"


class DataLoss(CallError):
    code = "DATA_LOSS"


BY_CODE: Mapping[str, type[CallError]] = {
    kind.code: kind
    for kind in (
        BadFrame,
        InvalidRequest,
        Unimplemented,
        InvalidArgument,
        Internal,
        Cancelled,
        Unavailable,
        DeadlineExceeded,
        NotFound,
        AlreadyExists,
        PermissionDenied,
        Unauthenticated,
        ResourceExhausted,
        FailedPrecondition,
        Conflict,
        OutOfRange,
        DataLoss,
    )
}
