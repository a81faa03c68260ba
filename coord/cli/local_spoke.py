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
from coord.cli import terminal
from coord.cli.asking import duration, pair
from coord.cli.exits import Exit
from coord.cli.groups import Group
from protocol.errors import InvalidArgument
from protocol.sandbox import SANDBOXES

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
    parser.add_argument("--slots", metavar="N", type=int, help="how many sessions at once")
    parser.add_argument("--label", metavar="K=V", type=pair, action="append")
    parser.add_argument(
        "--quiet-after", metavar="TIME", type=duration,
        help="when the silence of a busy agent is told of; 2m, 0: never",
    )  # fmt: skip
    parser.add_argument("--sandbox-floor", choices=SANDBOXES, help="what holds each session here")
    parser.add_argument(
        "--sandbox-write",
        metavar="DIR",
        type=Path,
        action="append",
        help="open to all in sandboxes",
    )
    parser.add_argument(
        "--sandbox-hide", metavar="DIR", type=Path, action="append", help="not read in sandboxes"
    )


def _settings(args: argparse.Namespace) -> SpokeSettings:
    """Raises InvalidArgument (BAD_SETTINGS)."""
    from pydantic import ValidationError

    from spoke.settings import SpokeSettings

    said: dict[str, object] = {"state": args.state or context.state_path() / "spoke"}
    if args.slots is not None:
        said["slots"] = args.slots
    if args.quiet_after is not None:
        said["quiet_ms"] = args.quiet_after
    if args.label:
        said["labels"] = dict(args.label)
    said |= {"sandbox_floor": args.sandbox_floor} if args.sandbox_floor else {}
    said |= {"sandbox_writes": tuple(args.sandbox_write)} if args.sandbox_write else {}
    said |= {"hidden": tuple(args.sandbox_hide)} if args.sandbox_hide else {}
    try:
        return SpokeSettings.model_validate(said)
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors())
        raise InvalidArgument("BAD_SETTINGS", faults) from None


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
