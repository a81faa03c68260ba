"""What went wrong: what, why and the next command to try, and the exit code that says it."""

from __future__ import annotations

import argparse
import errno
import json
import sys
from collections.abc import Mapping
from typing import Final, cast

from pydantic import JsonValue

from coord.cli import terminal
from coord.cli.exits import Exit
from coord.cli.parser import Run
from protocol.errors import (
    AlreadyExists,
    CallError,
    Cancelled,
    Conflict,
    CoordError,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)

EXITS: Final[Mapping[type[CallError], Exit]] = {
    InvalidArgument: Exit.USAGE,
    InvalidRequest: Exit.USAGE,
    Unimplemented: Exit.USAGE,
    NotFound: Exit.NOT_FOUND,
    PermissionDenied: Exit.NOT_ALLOWED,
    Unauthenticated: Exit.NOT_ALLOWED,
    AlreadyExists: Exit.CONFLICT,
    Conflict: Exit.CONFLICT,
    FailedPrecondition: Exit.CONFLICT,
    Unavailable: Exit.UNREACHABLE,
    DeadlineExceeded: Exit.TIMEOUT,
    Cancelled: Exit.ABORTED,
}


def exit_of(error: CallError) -> Exit:
    return next((EXITS[kind] for kind in type(error).mro() if kind in EXITS), Exit.FAILED)


def guarded(run: Run, args: argparse.Namespace, as_json: bool) -> Exit:
    """The exit code of a command; what it raises of ours is shown."""
    try:
        return run(args)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return Exit.ABORTED
    except BaseExceptionGroup as raised:
        inner = first_of_ours(raised)
        if inner is None:
            raise
        return _show_any(inner, as_json)
    except CoordError as error:
        return _show_any(error, as_json)
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise  # a closed pipe, or what is no file of the user's
        return show(_of_file(error), as_json)


def first_of_ours(error: BaseException) -> CoordError | None:
    """The error itself if it is one of ours, or the first such in a group, however deep."""
    if isinstance(error, CoordError):
        return error
    if not isinstance(error, BaseExceptionGroup):
        return None
    inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
    return next((found for one in inner if (found := first_of_ours(one)) is not None), None)


def show(error: CallError, as_json: bool) -> Exit:
    code = exit_of(error)
    if as_json:
        _show_json(
            {
                "code": error.code,
                "reason": error.reason,
                "message": error.message,
                "advice": error.advice,
                "details": error.details,
                "exit": int(code),
            }
        )
    else:
        sys.stderr.write(text_of(error.message, f"{error.code} {error.reason}", error.advice))
    return code


def show_usage(message: str, command: str, as_json: bool) -> Exit:
    advice = f"{command} --help"
    if as_json:
        _show_json(
            {
                "code": "USAGE", "reason": "USAGE", "message": message, "advice": advice,
                "details": {}, "exit": int(Exit.USAGE),
            }
        )  # fmt: skip
    else:
        sys.stderr.write(text_of(message, "", advice))
    return Exit.USAGE


def text_of(what: str, why: str, advice: str) -> str:
    """Up to three lines, safe for a terminal."""
    parts = (("error", what), ("why", why), ("try", advice))
    said = ((f"{word}:", terminal.lines(text)) for word, text in parts if text)
    return "".join(f"{word:<6} {text}\n" for word, text in said)


def _of_file(error: OSError) -> FailedPrecondition:
    return FailedPrecondition(
        "FILE_TROUBLE",
        f"{error.filename or 'what was to be written'}: {error.strerror}",
        advice="check the path, who owns it, and whether the disk is full",
    )


def _show_any(error: CoordError, as_json: bool) -> Exit:
    if isinstance(error, CallError):
        return show(error, as_json)
    sys.stderr.write(text_of(str(error), type(error).__name__, "coordctl doctor"))
    return Exit.FAILED


def _show_json(error: dict[str, JsonValue]) -> None:
    sys.stderr.write(terminal.json_text(json.dumps({"error": error}, ensure_ascii=False)) + "\n")
