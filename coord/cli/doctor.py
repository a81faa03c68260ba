"""coordctl doctor: is this machine, its coord and its hub as they should be?"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from coord.cli import checkup
from coord.cli.checkup import Check
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of
from coord.cli.tables import Column

COLUMNS: Sequence[Column[Check]] = (
    Column("", lambda c: c.result),
    Column("CHECK", lambda c: c.check),
    Column("FOUND", lambda c: c.found),
    Column("ADVICE", lambda c: c.advice),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_format(parser)
    parser.epilog = "example: coordctl doctor"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    checks = [*checkup.machine(), *asyncio.run(checkup.hub())]
    out_of(args).rows(checks, COLUMNS)
    return Exit.FAILED if any(check.result == "fail" for check in checks) else Exit.OK
