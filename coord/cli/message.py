"""coordctl message: say something to a session's agent."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from coord.cli.asking import ANY, LIVE, ask, duration, resolve
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of
from coord.cli.views import DELIVERED
from coord.client import Hub
from protocol.session import State

_HEARING: Final = LIVE | {State.BLOCKED}  #: one that is blocked waits for a message


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session", metavar="REF", help=ANY)
    parser.add_argument("text", metavar="TEXT", help="- reads standard input")
    parser.add_argument(
        "--mode", choices=["queue", "steer", "interrupt"], default="queue",
        help="after this turn (default), into it, or ending it",
    )  # fmt: skip
    parser.add_argument(
        "--on-unsupported", choices=["degrade", "fail"], default="degrade",
        help="where the agent has no such mode",
    )  # fmt: skip
    parser.add_argument("--message-id", metavar="ID", help="the same id twice is said once")
    parser.add_argument("--timeout", metavar="TIME", type=duration, help="for the delivery; 5s")
    add_format(parser)
    parser.epilog = "example: coordctl message fix-login 'Also add a test'"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    ref: str = args.session
    text: str = sys.stdin.read() if args.text == "-" else args.text

    async def work(hub: Hub) -> Exit:
        said = await hub.message(
            await resolve(hub, ref, among=_HEARING),
            text,
            mode=args.mode,
            on_unsupported=args.on_unsupported,
            message_id=args.message_id,
            wait_ms=args.timeout,
        )
        out = out_of(args)
        out.rows([said], DELIVERED, whole=said)
        if said.state == "failed" and not said.reason and not out.for_programs:
            sys.stderr.write("not delivered: it does not read its standard input (any more)\n")
        return Exit.FAILED if said.state == "failed" else Exit.OK

    return ask(work)
