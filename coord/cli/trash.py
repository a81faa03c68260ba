"""coordctl trash: removed worktrees that can be had back."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime

from coord.cli.asking import ask
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of
from coord.cli.tables import Column
from coord.cli.views import clock
from coord.client import Hub
from protocol.errors import InvalidArgument, NotFound
from protocol.ops import catalogue as ops
from protocol.ops.keeping import TrashEntry, TrashList

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
    parser.add_argument(
        "--restore",
        metavar="ENTRY",
        help="put it back as it was; a session, branch or task that one entry belongs to will do",
    )
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
        entry = await _meant(hub, args.restore, found)
        back = await hub.ask(ops.TRASH_RESTORE, {"id": entry.id, "spoke": entry.spoke})
        pairs = (
            ("restored", back.session_id),
            ("branch", back.branch),
            ("worktree", back.worktree),
            ("spoke", entry.spoke),
        )
        out.facts(back, pairs)
        return Exit.OK

    return ask(work)


async def _meant(hub: Hub, word: str, found: TrashList) -> TrashEntry:
    """The entry of that name, or the only one of the session, branch or task of that name."""
    match [one for one in found.items if one.id == word] or await _of(hub, word, found.items):
        case [one]:
            return one
        case []:
            said = f"no {word!a} is kept"
            if found.unasked:
                said += f" by those that answered; not asked: {', '.join(found.unasked)}"
            raise NotFound("NOT_IN_TRASH", said, advice="coordctl trash")
        case several:
            names = [f"{one.id} {one.branch} removed {_at(one.removed_at)}" for one in several]
            raise InvalidArgument(
                "AMBIGUOUS",
                f"{word!a} means {len(several)} entries:\n  " + "\n  ".join(names),
                advice="name the entry: coordctl trash --restore ENTRY",
            )


async def _of(hub: Hub, word: str, items: Sequence[TrashEntry]) -> Sequence[TrashEntry]:
    """Those of a session of that id, branch or task."""
    kept = [one for one in items if word in (one.session_id, one.branch)]
    if kept or not items:
        return kept
    sessions = (await hub.status(ref=word)).sessions
    called = {one.session_id for one in sessions if word == one.task}
    return [one for one in items if one.session_id in called]
