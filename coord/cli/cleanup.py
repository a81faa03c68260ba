"""coordctl cleanup: remove worktrees whose work is merged, pushed or saved."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from coord.cli.asking import ask, resolve, resolve_all
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of
from coord.cli.views import CLEANED
from coord.client import Hub
from protocol.ops.sessions import Cleaned


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sessions", metavar="REF", nargs="*", help="default: all that have ended")
    parser.add_argument("--tree", metavar="REF", help="a session and all below it")
    parser.add_argument("--force", action="store_true", help="save the rest to a ref, then remove")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    add_format(parser)
    parser.epilog = "example: coordctl cleanup --dry-run"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    refs: Sequence[str] = args.sessions

    async def work(hub: Hub) -> Exit:
        top = None if args.tree is None else await resolve(hub, args.tree)
        ids = await resolve_all(hub, refs)
        done = await hub.cleanup(*ids, tree=top, force=args.force, dry_run=args.dry_run)
        out_of(args).rows(done.results, CLEANED, whole=done, empty="nothing to remove")
        return Exit.OK if args.dry_run else _exit(done.results, named=bool(refs))

    return ask(work)


def _exit(results: Sequence[Cleaned], *, named: bool) -> Exit:
    """To keep what would be lost is right, unless it was named."""
    kept = [one for one in results if not one.removed]
    if not kept or not named:
        return Exit.OK
    return Exit.CONFLICT if len(kept) == len(results) else Exit.PARTIAL
