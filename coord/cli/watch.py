"""Show something again and again, on a screen of its own where there is one."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from coord.cli.exits import Exit
from coord.cli.out import Format, Out

_HOME_AND_CLEAR: Final = "\x1b[H\x1b[2J"
INTERVAL_SECONDS: Final = 2.0


def add_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-w", "--watch", action="store_true", help="show again every two seconds")


async def repeat(show: Callable[[], Awaitable[Exit]], out: Out, args: argparse.Namespace) -> Exit:
    """Once, or with --watch until Ctrl-C. Programs get a line of JSON for each thing, each time."""
    if not args.watch:
        return await show()
    if out.format is Format.JSON:
        out.format = Format.JSONL
    while True:
        if out.interactive and not out.for_programs:
            out.text(_HOME_AND_CLEAR)
        await show()
        await asyncio.sleep(INTERVAL_SECONDS)
