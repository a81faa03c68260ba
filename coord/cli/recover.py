"""coordctl recover: where the records and the machines disagree, and doing something about it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from coord.cli import terminal
from coord.cli.asking import ask
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of
from coord.cli.tables import Column
from coord.client import Hub
from protocol.ops import catalogue as ops
from protocol.ops.keeping import Finding

FINDINGS: Sequence[Column[Finding]] = (
    Column("SESSION", lambda f: f.session_id),
    Column("SPOKE", lambda f: f.spoke or "-"),
    Column("FOUND", lambda f: f.what),
    Column("ACTION", lambda f: f.action),
    Column("DONE", lambda f: "yes" if f.applied else f.trouble or "no"),
    Column("KIND", lambda f: f.kind, wide=True),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--apply", action="store_true", help="do it; else only say it")
    parser.add_argument("--spoke", metavar="NAME", help="only what concerns this one")
    add_format(parser)
    parser.epilog = "example: coordctl recover --apply"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        said = await hub.ask(ops.RECOVER, {"apply": args.apply, "spoke": args.spoke})
        empty = "records and machines agree"
        out_of(args).rows(said.findings, FINDINGS, whole=said, empty=empty)
        if said.unasked:
            names = terminal.cell(" ".join(said.unasked))
            sys.stderr.write(f"could not be asked: {names}\n")
        undone = any(one.trouble for one in said.findings)
        return Exit.PARTIAL if undone or said.unasked else Exit.OK

    return ask(work)
