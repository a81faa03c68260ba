"""coordctl dashboard: a link that opens the ops page, once, within a minute."""

from __future__ import annotations

import argparse
import webbrowser

from coord.cli import terminal
from coord.cli.asking import ask
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of, plain
from coord.client import Hub
from protocol.ops import catalogue as ops


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--open", action="store_true", help="open it in a browser as well")
    add_format(parser)
    parser.epilog = "example: coordctl dashboard --open"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        ticket = await hub.ask(ops.HUB_TICKET, {})
        out = out_of(args)
        if out.for_programs:
            out.value(plain(ticket))
        else:
            out.text(terminal.cell(ticket.url) + "\n")
        if args.open:
            webbrowser.open(ticket.url)
        return Exit.OK

    return ask(work)
