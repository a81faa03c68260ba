"""coordctl trash: removed worktrees that can be had back."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime

from coord.cli.asking import ask
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of, plain
from coord.cli.tables import Column
from coord.cli.views import clock
from coord.client import Hub
from protocol.errors import NotFound
from protocol.ops import catalogue as ops
from protocol.ops.keeping import TrashEntry

_MIB = 1 << 20


def _at(at: datetime) -> str:
    return clock(at)


ENTRIES: Sequence[Column[TrashEntry]] = (
    Column("ENTRY", lambda e: e.id),
    Column("SPOKE", lambda e: e.spoke),
    Column("BRANCH", lambda e: e.branch),
    Column("REMOVED", lambda e: _at(e.removed_at)),
    Column("KEPT UNTIL", lambda e: _at(e.gone_at)),
    Column("MIB", lambda e: "" if e.bytes is None else f"{e.bytes / _MIB:.0f}"),
    Column("WHY", lambda e: e.why),
    Column("REPO", lambda e: e.repo, wide=True),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--restore", metavar="ENTRY", help="put it back as it was")
    parser.add_argument("--spoke", metavar="NAME", help="only on this spoke")
    add_format(parser)
    parser.epilog = "example: coordctl trash --restore ses_abc-1f2e3d4c"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        found = await hub.ask(ops.TRASH_LIST, {"spoke": args.spoke})
        out = out_of(args)
        if args.restore is None:
            out.rows(found.items, ENTRIES, whole=found, empty="nothing is in the trash")
            return Exit.PARTIAL if found.unasked else Exit.OK
        entry = next((one for one in found.items if one.id == args.restore), None)
        if entry is None:
            raise NotFound("NOT_IN_TRASH", f"no {args.restore!a} is kept", advice="coordctl trash")
        back = await hub.ask(ops.TRASH_RESTORE, {"id": entry.id, "spoke": entry.spoke})
        out.value(plain(back))
        return Exit.OK

    return ask(work)
