"""coordctl answer: allow or deny what an agent asks for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from coord.cli import terminal
from coord.cli.asking import ask, duration, resolve
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of
from coord.cli.tables import Column
from coord.client import Hub
from protocol.errors import NotFound
from protocol.ops.questions import Answered

ANSWERED: Sequence[Column[Answered]] = (
    Column("QUESTION", lambda a: f"{a.session_id}/{a.question}"),
    Column("STATE", lambda a: a.state),
    Column("DECISION", lambda a: a.decision),
    Column("BY", lambda a: a.by),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "question", metavar="REF[/N]", help="id, branch or task, and the number where it asks more"
    )
    parser.add_argument("decision", choices=["allow", "deny"])
    parser.add_argument("--message", metavar="TEXT", default="", help="for the agent: why not")
    parser.add_argument("--timeout", metavar="TIME", type=duration, help="to reach the agent; 5s")
    add_format(parser)
    parser.epilog = "example: coordctl answer fix-login/2 deny --message 'Use the staging database'"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        id, number = await _question(hub, args.question)
        said = await hub.answer(
            id, args.decision, question=number, message=args.message, wait_ms=args.timeout
        )
        out = out_of(args)
        out.rows([said], ANSWERED, whole=said)
        if said.decision == args.decision:
            return Exit.OK
        if not out.for_programs:
            sys.stderr.write(terminal.cell(f"too late: {said.decision}, by {said.by}") + "\n")
        return Exit.FAILED

    return ask(work)


async def _question(hub: Hub, ref: str) -> tuple[str, int | None]:
    """A branch may end in a number too: what the whole word names goes first."""
    head, slash, tail = ref.rpartition("/")
    if not slash or not tail.isdecimal():
        return await resolve(hub, ref), None
    try:
        return await resolve(hub, ref), None
    except NotFound:
        return await resolve(hub, head), int(tail)
