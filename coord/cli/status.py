"""coordctl status: sessions in full."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from coord.cli.asking import ask, resolve_all
from coord.cli.exits import Exit
from coord.cli.out import Out, add_format, out_of
from coord.cli.views import SESSIONS, TASK, session_facts
from coord.cli.watch import add_watch, repeat
from coord.client import Hub
from protocol.ops.sessions import SessionView


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sessions", metavar="REF", nargs="+", help="id, branch or task")
    add_watch(parser)
    add_format(parser)
    parser.epilog = "example: coordctl status fix-login"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    refs: Sequence[str] = args.sessions

    async def work(hub: Hub) -> Exit:
        ids = await resolve_all(hub, refs)
        out = out_of(args)

        async def show() -> Exit:
            found = [one for id in ids for one in (await hub.status(id)).sessions]
            _show(out, found)
            return Exit.OK

        return await repeat(show, out, args)

    return ask(work, lasting=args.watch)


def _show(out: Out, found: Sequence[SessionView]) -> None:
    match found:
        case [one]:
            out.facts(one, session_facts(one))
        case _:
            out.rows(found, [TASK, *SESSIONS])
