"""coordctl wait: until sessions have ended, or run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from coord.cli.asking import ask, duration, outcome, resolve_all
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of
from coord.cli.views import SESSIONS, TASK
from coord.client import Hub
from protocol.ops.sessions import Waited
from protocol.session import ENDED


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sessions", metavar="REF", nargs="+", help="id, branch or task")
    parser.add_argument(
        "--until", choices=["running", "ended"], default="ended", help="default: ended"
    )
    parser.add_argument("--any", action="store_true", help="one of them is enough")
    parser.add_argument("--timeout", metavar="TIME", type=duration, help="exit 8 after 30m, 2h")
    add_format(parser)
    parser.epilog = "example: coordctl wait lint docs --timeout 30m"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    refs: Sequence[str] = args.sessions

    async def work(hub: Hub) -> Exit:
        waited = await hub.wait(
            *await resolve_all(hub, refs),
            until=args.until,
            mode="any" if args.any else "all",
            timeout_ms=args.timeout,
        )
        out_of(args).rows(waited.sessions, [TASK, *SESSIONS], whole=waited)
        return _exit(waited, args.until)

    return ask(work)


def _exit(waited: Waited, until: str) -> Exit:
    """What has ended counts; with --until running what runs is as it should be."""
    if not waited.reached:
        return Exit.TIMEOUT
    ended = [one.state for one in waited.sessions if one.state in ENDED]
    return outcome(ended) if until == "ended" or ended else Exit.OK
