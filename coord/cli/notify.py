"""coordctl notify: from inside a session, tell its story."""

from __future__ import annotations

import argparse
import sys

from coord.cli.asking import ask, resolve
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of, plain
from coord.client import Hub


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", help="- reads standard input")
    parser.add_argument(
        "--level", choices=["info", "warning", "blocking"], default="info",
        help="blocking ends the session safely; a message resumes it",
    )  # fmt: skip
    parser.add_argument("--session", metavar="REF", help="default: the one this runs in")
    add_format(parser)
    parser.epilog = "example: coordctl notify --level blocking 'Which database is it?'"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    text: str = sys.stdin.read() if args.text == "-" else args.text
    ref: str | None = args.session

    async def work(hub: Hub) -> Exit:
        id = None if ref is None else await resolve(hub, ref)
        said = await hub.notify(text, level=args.level, session_id=id)
        out = out_of(args)
        if out.for_programs:  # else silent: what is printed here ends up in the transcript
            out.value(plain(said))
        return Exit.OK

    return ask(work)
