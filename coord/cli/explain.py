"""coordctl explain: why a session is where it is, what happens next, and what you can do."""

from __future__ import annotations

import argparse

from coord.cli.asking import ANY, ask, resolve
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of
from coord.cli.tables import age
from coord.cli.views import clock, now, state
from coord.client import Hub
from protocol.ops.sessions import Explanation


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session", metavar="REF", help=ANY)
    add_format(parser)
    parser.epilog = "example: coordctl explain fix-login"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    ref: str = args.session

    async def work(hub: Hub) -> Exit:
        said = await hub.explain(await resolve(hub, ref))
        out_of(args).facts(said, _facts(said))
        return Exit.OK

    return ask(work)


def _facts(said: Explanation) -> list[tuple[str, str]]:
    one = said.session
    soon = f"{said.next} (at {clock(said.next_at)})" if said.next_at else said.next
    return [
        ("session", f"{one.session_id} {one.task}"),
        ("state", state(one)),
        ("because", f"{said.fact} (for {age(said.since, now())})"),
        ("next", soon),
        *(("you can" if place == 0 else "", way) for place, way in enumerate(said.you_can)),
    ]
