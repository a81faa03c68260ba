"""What commands share when they ask a hub: the link, what a word refers to, common words."""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from pydantic import JsonValue

from coord.cli.exits import Exit
from coord.client import Hub, connect
from protocol.errors import InvalidArgument, NotFound
from protocol.ops.sessions import SessionView
from protocol.session import ENDED, State

_WHOLE_ID: Final = re.compile(r"ses_[a-z2-7]{16}\Z")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)\Z")
_UNITS: Final = {"ms": 1, "": 1_000, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def ask(work: Callable[[Hub], Awaitable[Exit]]) -> Exit:
    """Do some work with the hub. Ctrl-C aborts the call in flight and sees it end."""

    async def linked() -> Exit:
        async with connect(name="coordctl") as hub:
            return await work(hub)

    return asyncio.run(linked())


async def resolve(hub: Hub, ref: str) -> str:
    """The id that a word refers to: an id, the start of one, a branch or a task.

    Raises NotFound, or InvalidArgument (AMBIGUOUS) with the candidates.
    """
    if _WHOLE_ID.match(ref):
        return ref
    found = (await hub.status(ref=ref)).sessions
    exact = [session for session in found if session.session_id == ref]
    match exact or found:
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


async def resolve_all(hub: Hub, refs: Sequence[str]) -> list[str]:
    return [await resolve(hub, ref) for ref in refs]


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


def pair(text: str) -> tuple[str, str]:
    """`name=value`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _ambiguous(ref: str, several: Sequence[SessionView]) -> InvalidArgument:
    names = [f"{one.session_id} {one.state} {one.task} {one.branch}" for one in several]
    candidates: list[JsonValue] = [
        {"sessionId": one.session_id, "task": one.task, "state": one.state, "branch": one.branch}
        for one in several
    ]
    return InvalidArgument(
        "AMBIGUOUS",
        f"{ref!r} means {len(several)} sessions:\n  " + "\n  ".join(names),
        advice="say more of the id",
        details={"candidates": candidates},
    )
