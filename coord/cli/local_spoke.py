"""coordctl spoke join and run: the spoke of this machine.

What belongs to the spoke package is imported when one of the two runs: to list the spokes of a hub
nobody needs a daemon.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

from coord import context
from coord.cli import spoke_settings, terminal
from coord.cli.exits import Exit
from coord.cli.groups import Group

if TYPE_CHECKING:
    from spoke.settings import SpokeSettings

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_ANY_PARENT = -1


def add_join(commands: Group) -> None:
    join = commands.add("join", "enroll this machine with a hub", _join)
    join.add_argument("join", metavar="JOIN", help="what `spoke invite` printed; - reads stdin")
    join.add_argument("--name", metavar="NAME", help="default: the invited one, or this machine's")
    _add_settings(join)
    join.epilog = "example: coordctl spoke join 'coord-join:v1:...'"


def add_run(commands: Group) -> None:
    run = commands.add("run", "serve the hub until told to stop; agents outlive it", _run)
    _add_settings(run)
    run.add_argument(
        "--die-with-parent", metavar="PID", type=int, nargs="?", const=_ANY_PARENT,
        help="stop when the process that started this one ends",
    )  # fmt: skip
    run.epilog = "example: coordctl spoke run --slots 4"


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", metavar="DIR", type=Path, help="its identity, clones, worktrees")
    spoke_settings.add(parser)


def _settings(args: argparse.Namespace) -> SpokeSettings:
    """Raises InvalidArgument (BAD_SETTINGS)."""
    return spoke_settings.of(args, args.state or context.state_path() / "spoke")


def _join(args: argparse.Namespace) -> Exit:
    from spoke import app

    settings = _settings(args)
    text: str = sys.stdin.read() if args.join == "-" else args.join
    enrolled = asyncio.run(app.join(settings, text, args.name))
    print(terminal.cell(f"{enrolled.name} ({enrolled.spoke_id}) belongs to hub {enrolled.hub_id}"))
    print(terminal.cell(f"start it: coordctl spoke run --state {settings.state}"))
    return Exit.OK


def _run(args: argparse.Namespace) -> Exit:
    from coord.cli.daemon import log_to_stderr, stay
    from spoke import app

    if args.die_with_parent is not None:
        _die_with_parent(args.die_with_parent)
    log_to_stderr()
    stay()
    return asyncio.run(_until_stopped(app.run(_settings(args))))


async def _until_stopped(work: Coroutine[object, object, None]) -> Exit:
    from coord.cli.daemon import first_of, stop_signals

    with stop_signals() as stop:
        await first_of(stop.wait(), work)
    logger.info("stopped; agents keep running")
    return Exit.OK


def _die_with_parent(parent: int) -> None:
    """Be told to stop when the parent ends. ``parent``: who it was, in case that was just now."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if parent not in (_ANY_PARENT, os.getppid()):
        os.kill(os.getpid(), signal.SIGTERM)
