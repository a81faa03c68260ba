"""coordctl ps: sessions as a tree."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from coord.cli.asking import ask, pair, resolve
from coord.cli.exits import Exit
from coord.cli.out import Out, add_format, out_of
from coord.cli.tables import Column
from coord.cli.trees import tree
from coord.cli.views import SESSIONS
from coord.cli.watch import add_watch, repeat
from coord.client import Hub
from protocol.ops.sessions import SessionView
from protocol.session import State

PAGE = 500


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-a", "--all", action="store_true", help="those that have ended, too")
    parser.add_argument(
        "--state", action="append", type=State, choices=list(State), metavar="STATE"
    )
    parser.add_argument("--parent", metavar="REF", help="the children of a session")
    parser.add_argument("--tree", metavar="REF", help="a session and all below it")
    parser.add_argument("--spoke", metavar="NAME")
    parser.add_argument("--label", metavar="K=V", type=pair, action="append")
    parser.add_argument("--limit", metavar="N", type=int, default=PAGE, help="newest N; 500")
    add_watch(parser)
    add_format(parser)
    parser.epilog = "example: coordctl ps --watch"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        out = out_of(args)

        async def show() -> Exit:
            _show(out, await _found(hub, args))
            return Exit.OK

        return await repeat(show, out, args)

    return ask(work)


async def _found(hub: Hub, args: argparse.Namespace) -> list[SessionView]:
    if args.tree is not None:
        return (await hub.status(tree=await resolve(hub, args.tree))).sessions
    parent = None if args.parent is None else await resolve(hub, args.parent)
    wanted: dict[str, str] = dict(args.label or ())
    live = True if not args.all and args.state is None else None
    found: list[SessionView] = []
    after: str | None = None
    limit: int = args.limit
    while len(found) < limit:
        page = await hub.status(
            parent=parent,
            states=args.state,
            live=live,
            spoke=args.spoke,
            labels=wanted,
            limit=min(PAGE, limit - len(found)),
            after=after,
        )
        found += page.sessions
        after = page.next
        if after is None:
            break
    return found


def _show(out: Out, found: Sequence[SessionView]) -> None:
    branches = tree(found)
    drawn: Mapping[str, str] = {one.session_id: head + one.task for head, one in branches}
    task: Column[SessionView] = Column("TASK", lambda s: drawn[s.session_id])
    empty = "no sessions; start one: coordctl spawn TASK -- ./agent.sh"
    out.rows([one for _, one in branches], [task, *SESSIONS], empty=empty)
