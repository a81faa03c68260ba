"""How a process that is measured speaks with the one that measures: JSON lines on stdin, stdout.

It ends when its stdin does, so that none outlives whoever started it.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import Any

import uvloop

PROFILE = "COORD_BENCH_PROFILE"  #: a folder; each process then leaves its profile there
_LONGEST_LINE = 1 << 24

Role = Callable[["Channel", Mapping[str, Any]], Awaitable[None]]


class Channel:
    def __init__(self, lines: asyncio.StreamReader) -> None:
        self._lines = lines

    async def requests(self) -> AsyncGenerator[dict[str, Any]]:
        while line := await self._lines.readline():
            yield json.loads(line)

    def say(self, answer: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def run(role: Role, *, fast_loop: bool = True) -> None:
    """Be the role that argv[1] describes. ``fast_loop``: uvloop, as the hub has it."""

    async def main() -> None:
        lines = asyncio.StreamReader(limit=_LONGEST_LINE)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        await role(Channel(lines), json.loads(sys.argv[1]))

    folder = os.environ.get(PROFILE)
    profile = cProfile.Profile() if folder else None
    with profile or nullcontext():
        if fast_loop:
            uvloop.run(main())
        else:
            asyncio.run(main())
    if profile is not None:
        name = sys.argv[0].rpartition("/")[2].removesuffix(".py")
        profile.dump_stats(f"{folder}/{name}-{os.getpid()}.prof")
