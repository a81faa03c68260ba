"""coordctl ps: sessions as a tree."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from coord.cli.asking import ask, count, pair, resolve
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
        "--state", action="append", choices=[state.value for state in State], metavar="STATE",
        help="such as running; more than once: any of them",
    )  # fmt: skip
    parser.add_argument("--parent", metavar="REF", help="the children of a session")
    parser.add_argument("--tree", metavar="REF", help="a session and all below it")
    parser.add_argument("--spoke", metavar="NAME")
    parser.add_argument("--label", metavar="K=V", type=pair, action="append")
    parser.add_argument("--limit", metavar="N", type=count, default=PAGE, help="newest N; 500")
    add_watch(parser)
    add_format(parser)
    parser.epilog = "example: coordctl ps --watch"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        out = out_of(args)

        async def show() -> Exit:
            _show(out, await _found(hub, args), _nothing(args))
            return Exit.OK

        return await repeat(show, out, args)

    return ask(work, lasting=args.watch)


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
            states=None if args.state is None else [State(word) for word in args.state],
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


def _nothing(args: argparse.Namespace) -> str:
    """What to say of an empty list: there may be others, which were not asked for."""
    if args.state or args.parent or args.tree or args.spoke or args.label:
        return "no such sessions; all there are: coordctl ps --all"
    if args.all:
        return "no sessions; start one: coordctl spawn TASK -- PROGRAM"
    return "nothing runs; what has ended: coordctl ps --all"


def _show(out: Out, found: Sequence[SessionView], empty: str) -> None:
    branches = tree(found)
    drawn: Mapping[str, str] = {one.session_id: head + one.task for head, one in branches}
    task: Column[SessionView] = Column("TASK", lambda s: drawn[s.session_id])
    out.rows([one for _, one in branches], [task, *SESSIONS], empty=empty)
