"""coordctl logs: what a session's agent said."""

from __future__ import annotations

import argparse
import sys

from coord.cli.asking import ANY, ask, count, resolve
from coord.cli.exits import Exit
from coord.cli.out import Format, add_format, out_of
from coord.cli.transcript import SPOKEN, Place, follow
from coord.client import Hub


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session", metavar="REF", help=ANY)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until it has ended")
    parser.add_argument("--events", action="store_true", help="all kinds of events, not only lines")
    parser.add_argument(
        "--kind", metavar="KIND", action="append", help="only these, such as child_asked; again"
    )
    parser.add_argument("--since-seq", metavar="N", type=int, default=0, help="only what is newer")
    parser.add_argument("--tail", metavar="N", type=count, help="only the last N")
    add_format(parser)
    parser.epilog = "example: coordctl logs -f fix-login"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    ref: str = args.session
    out = out_of(args)
    if out.format is Format.JSON:
        out.format = Format.JSONL  # a story has no end that could close a list

    place = Place(args.since_seq, args.tail)

    async def work(hub: Hub) -> Exit:
        id = await resolve(hub, ref)
        kinds = args.kind or (None if args.events else SPOKEN)
        await follow(hub, id, out, place, live=args.follow, kinds=kinds)
        if not place.shown and not out.for_programs and sys.stderr.isatty():
            sys.stderr.write(f"nothing was said; all that happened: coordctl logs --events {id}\n")
        return Exit.OK

    return ask(work, lasting=args.follow)
