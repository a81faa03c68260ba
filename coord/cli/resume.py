"""coordctl resume: start ended sessions again, with what they had done."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from coord.cli import terminal
from coord.cli.asking import ONE, ask, resolve_all, slow_told
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of
from coord.cli.views import SESSIONS
from coord.client import Hub
from protocol.session import State


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sessions", metavar="REF", nargs="+", help=ONE)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--spoke", metavar="NAME", help="on this spoke")
    where.add_argument(
        "--elsewhere",
        action="store_true",
        help="on another spoke; one that is out of reach is given up",
    )
    parser.add_argument(
        "--accept-loss",
        action="store_true",
        help="although a newer state was saved where it cannot be reached",
    )
    parser.add_argument("--reason", metavar="TEXT", default="")
    add_format(parser)
    parser.epilog = "example: coordctl resume fix-login --elsewhere"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    refs: Sequence[str] = args.sessions

    async def work(hub: Hub) -> Exit:
        async with slow_told("waiting until it runs; Ctrl-C leaves it to itself"):
            done = [
                await hub.resume(
                    id,
                    spoke=args.spoke,
                    elsewhere=args.elsewhere,
                    accept_loss=args.accept_loss,
                    reason=args.reason,
                )
                for id in await resolve_all(hub, refs, among=())
            ]
        out = out_of(args)
        out.rows([one.session for one in done], SESSIONS)
        for one in done:
            if one.lost and not out.for_programs:
                out.text(f"left behind: {terminal.cell(one.lost)}\n")
        bad = {State.FAILED, State.LOST, State.ABORTED}
        return Exit.WORK_FAILED if any(one.session.state in bad for one in done) else Exit.OK

    return ask(work)
