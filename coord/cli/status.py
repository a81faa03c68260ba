"""coordctl status: sessions in full."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from coord.cli.asking import ANY, ask, resolve_all
from coord.cli.exits import Exit
from coord.cli.facts import session_facts
from coord.cli.out import Out, add_format, out_of
from coord.cli.views import SESSIONS, TASK
from coord.cli.watch import add_watch, repeat
from coord.client import Hub
from protocol.ops.sessions import Status


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sessions", metavar="REF", nargs="+", help=ANY)
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
            _show(out, [await hub.status(id) for id in ids])
            return Exit.OK

        return await repeat(show, out, args)

    return ask(work, lasting=args.watch)


def _show(out: Out, found: Sequence[Status]) -> None:
    match found:
        case [Status(sessions=[one], usage=tree)]:
            out.facts(one, session_facts(one, tree))
        case _:
            out.rows([one for said in found for one in said.sessions], [TASK, *SESSIONS])
