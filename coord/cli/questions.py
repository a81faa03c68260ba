"""coordctl questions: what agents ask whether they may."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime

from coord.cli.asking import ask, resolve
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of
from coord.cli.tables import Column, age
from coord.cli.views import clock, now
from coord.cli.watch import add_watch, repeat
from coord.client import Hub
from protocol.ops.questions import Question


def _state(of: Question) -> str:
    if of.state == "open":
        return "open"
    return f"{of.decision} ({of.by})" if of.decision else f"{of.state} ({of.by or 'nobody'})"


def _until(of: Question) -> str:
    if of.until is None or of.state != "open":
        return "-"
    return f"{clock(datetime.fromtimestamp(of.until / 1_000, UTC))}, then {of.unanswered}"


QUESTIONS: Sequence[Column[Question]] = (
    Column("TASK", lambda q: q.task),
    Column("QUESTION", lambda q: f"{q.session_id}/{q.question}"),
    Column("STATE", _state),
    Column("AGE", lambda q: age(q.asked_at, now())),
    Column("UNTIL", _until),
    Column("TOOL", lambda q: q.tool),
    Column("WHAT", lambda q: q.what),
    Column("RULE", lambda q: q.rule, wide=True),
    Column("PATHS", lambda q: " ".join(q.paths), wide=True),
    Column("ATTEMPT", lambda q: str(q.attempt), wide=True),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session", metavar="REF", nargs="?", help="of this session; of all")
    parser.add_argument("-a", "--all", action="store_true", help="those that are settled, too")
    add_watch(parser)
    add_format(parser)
    parser.epilog = "example: coordctl questions --watch"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    ref: str | None = args.session

    async def work(hub: Hub) -> Exit:
        id = None if ref is None else await resolve(hub, ref)
        out = out_of(args)

        async def show() -> Exit:
            found = await hub.questions(id, all=args.all)
            out.rows(found, QUESTIONS, empty="nobody asks anything")
            return Exit.OK

        return await repeat(show, out, args)

    return ask(work, lasting=args.watch)
