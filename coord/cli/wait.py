"""coordctl wait: until sessions have ended, run, or need somebody."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from coord.cli.asking import ANY, ask, duration, outcome, resolve, resolve_all
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of
from coord.cli.views import SESSIONS, TASK
from coord.client import Hub
from coord.context import session_id
from protocol.ops.sessions import Waited
from protocol.session import ENDED


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sessions", metavar="REF", nargs="*", help=ANY)
    parser.add_argument(
        "--below", metavar="REF", help="all that is live below a session; inside one: below it"
    )
    parser.add_argument(
        "--until", choices=["running", "ended", "attention"], default="ended",
        help="default: ended; attention: asks, gives no signal, is parked, out of reach or ended",
    )  # fmt: skip
    parser.add_argument("--any", action="store_true", help="one of them is enough")
    parser.add_argument("--timeout", metavar="TIME", type=duration, help="exit 8 after 30m, 2h")
    add_format(parser)
    parser.epilog = "example: coordctl wait lint docs --until attention --any --timeout 30m"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    refs: Sequence[str] = args.sessions
    above: str | None = args.below
    if not refs and above is None:
        above = session_id()

    async def work(hub: Hub) -> Exit:
        waited = await hub.wait(
            *await resolve_all(hub, refs),
            below=None if above is None else await resolve(hub, above),
            until=args.until,
            mode="any" if args.any else "all",
            timeout_ms=args.timeout,
        )
        empty = "nothing is live below it"
        out_of(args).rows(waited.sessions, [TASK, *SESSIONS], whole=waited, empty=empty)
        return _exit(waited, args.until)

    return ask(work)


def _exit(waited: Waited, until: str) -> Exit:
    """What has ended counts; with --until running what runs is as it should be."""
    if not waited.reached:
        return Exit.TIMEOUT
    ended = [one.state for one in waited.sessions if one.state in ENDED]
    return outcome(ended) if until == "ended" or ended else Exit.OK
