"""Frames as text; an answer that cannot be written becomes an answer that says so."""

from __future__ import annotations

from protocol.errors import BY_CODE, CallError, Internal, InvalidArgument, ResourceExhausted
from protocol.frames import Abort, Call, Fault, Frame, Reply, write
from protocol.limits import MAX_FRAME_BYTES


def text_of(frame: Frame) -> bytes:
    """Raises CallError (UNWRITABLE, TOO_LARGE) for what is not an answer and cannot be written."""
    try:
        text = write(frame)
    except (ValueError, TypeError) as error:
        refused = _unwritable(frame, error)
    else:
        if len(text) <= MAX_FRAME_BYTES:
            return text
        refused = _too_large(len(text))
    match frame:
        case Reply(id):
            return write(Fault(id, refused))
        case Fault(id, fault):
            return write(Fault(id, _plain(fault)))
        case Abort(id, _, mode):
            return write(Abort(id, mode=mode))  # it must arrive; its reason need not
        case _:
            raise refused


def _unwritable(frame: Frame, error: Exception) -> CallError:
    kind = InvalidArgument if isinstance(frame, Call) else Internal
    return kind("UNWRITABLE", f"this is not JSON: {str(error)!a}")


def _plain(error: CallError) -> CallError:
    """The same error with what can be written of its words, and no details."""
    return BY_CODE[error.code](
        _cleaned(error.reason),
        _cleaned(error.message),
        advice=_cleaned(error.advice),
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
    )


def _cleaned(text: str) -> str:
    return text[:4_096].encode(errors="replace").decode()


def _too_large(size: int) -> CallError:
    return ResourceExhausted(
        "TOO_LARGE",
        f"this has {size} bytes; a frame carries {MAX_FRAME_BYTES}",
        advice="ask for fewer at a time (limit, after), or say less at a time",
        retryable=False,
    )
