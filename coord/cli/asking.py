"""What commands share when they ask a hub: the link, what a word refers to, common words."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Final

from pydantic import JsonValue

from coord.cli import terminal
from coord.cli.exits import Exit
from coord.cli.views import clock
from coord.client import Hub, connect
from protocol.errors import InvalidArgument, NotFound, Unavailable
from protocol.ops.sessions import SessionView
from protocol.session import ENDED, State

LIVE: Final = frozenset(State) - ENDED
ANY: Final = "id, start of an id, branch or task; of several so called the one that has not ended"
ONE: Final = "id, start of an id, branch or task; which of several so called is not guessed"

_WHOLE_ID: Final = re.compile(r"ses_[a-z2-7]{16}\Z")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)\Z")
_AGAIN_SECONDS: Final = 1.0
_SLOW_SECONDS: Final = 3.0
_UNITS: Final = {"ms": 1, "": 1_000, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def ask(work: Callable[[Hub], Awaitable[Exit]], *, lasting: bool = False) -> Exit:
    """Do some work with the hub. Ctrl-C aborts the call in flight and sees it end.

    When ``lasting``, the work is begun again each time that a link was lost: what watches goes on
    when the hub was started anew.
    """
    return asyncio.run(_lasting(work) if lasting else _once(work))


async def _once(work: Callable[[Hub], Awaitable[Exit]]) -> Exit:
    async with connect(name="coordctl") as hub:
        return await work(hub)


async def _lasting(work: Callable[[Hub], Awaitable[Exit]]) -> Exit:
    was_there = False

    async def noted(hub: Hub) -> Exit:
        nonlocal was_there
        was_there = True
        return await work(hub)

    told = False
    while True:
        try:
            return await _once(noted)
        except Unavailable as lost:
            if not was_there:
                raise
            if not told:
                sys.stderr.write(f"{terminal.cell(lost.message)}; trying again until Ctrl-C\n")
            told = True
        await asyncio.sleep(_AGAIN_SECONDS)


@asynccontextmanager
async def slow_told(what: str) -> AsyncGenerator[None]:
    """Say something to who sits there, when an answer takes long enough to make one wonder."""
    if not sys.stderr.isatty():
        yield
        return
    telling = asyncio.get_running_loop().call_later(
        _SLOW_SECONDS, sys.stderr.write, terminal.cell(what) + "\n"
    )
    try:
        yield
    finally:
        telling.cancel()


async def resolve(hub: Hub, ref: str, *, among: Collection[State] = LIVE) -> str:
    """The id that a word refers to: an id, a branch or a task; else the start of an id.

    Of several of that branch or task it is the only one in a state of ``among``: those in which
    there is something to do. Where a wrong guess would do harm that is none.
    Raises NotFound, or InvalidArgument (AMBIGUOUS) with the candidates.
    """
    if _WHOLE_ID.match(ref):
        return ref
    found = (await hub.status(ref=ref)).sessions
    exact = [one for one in found if ref in (one.session_id, one.task, one.branch)]
    meant = [one for one in exact if one.state in among]
    match meant or exact or found:
        case [one]:
            return one.session_id
        case []:
            raise NotFound(
                "NO_SUCH_SESSION",
                f"no session has the id, branch or task {ref!r}",
                advice="coordctl ps --all",
            )
        case several:
            raise _ambiguous(ref, several)


async def resolve_all(
    hub: Hub, refs: Sequence[str], *, among: Collection[State] = LIVE
) -> list[str]:
    return [await resolve(hub, ref, among=among) for ref in refs]


def outcome(states: Sequence[State]) -> Exit:
    """What the ends of sessions mean to who awaited them."""
    if all(state is State.COMPLETED for state in states):
        return Exit.OK
    bad = {state for state in states if state in ENDED} - {State.COMPLETED}
    return Exit.ABORTED if bad == {State.ABORTED} else Exit.WORK_FAILED


def duration(text: str) -> int:
    """Milliseconds of `90`, `90s`, `1.5m`, `2h`, `3d`, `500ms`. Plain numbers are seconds."""
    match = _DURATION.match(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: say 90s, 5m or 2h")
    return round(float(match[1]) * _UNITS[match[2]])


def reason_of(error: OSError | UnicodeDecodeError) -> str:
    """Why a file cannot be read, without its name."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return error.strerror or str(error)


def count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def pair(text: str) -> tuple[str, str]:
    """`name=value`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _ambiguous(ref: str, several: Sequence[SessionView]) -> InvalidArgument:
    names = [
        f"{one.session_id} {one.state} {one.task} {one.branch} made {clock(one.created_at)}"
        for one in several
    ]
    candidates: list[JsonValue] = [
        {"sessionId": one.session_id, "task": one.task, "state": one.state, "branch": one.branch,
         "createdAt": one.created_at.isoformat()}
        for one in several
    ]  # fmt: skip
    is_name = any(ref in (one.task, one.branch) for one in several)
    return InvalidArgument(
        "AMBIGUOUS",
        f"{ref!r} means {len(several)} sessions:\n  " + "\n  ".join(names),
        advice="name one of them by its id" if is_name else "say more of the id",
        details={"candidates": candidates},
    )
