"""coordctl cleanup: remove worktrees whose work is merged, pushed or saved."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from coord.cli import terminal
from coord.cli.asking import ONE, ask, resolve, resolve_all
from coord.cli.exits import Exit
from coord.cli.out import Out, add_format, out_of
from coord.cli.views import CLEANED
from coord.client import Hub
from protocol.ops.keeping import Cleaned


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sessions", metavar="REF", nargs="*", help=f"{ONE}; default: all that have ended"
    )
    parser.add_argument("--tree", metavar="REF", help="a session and all below it")
    parser.add_argument("--force", action="store_true", help="also what no ref can hold")
    parser.add_argument(
        "--remote-branch", action="store_true", help="delete merged branches at the repository too"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    add_format(parser)
    parser.epilog = "example: coordctl cleanup --dry-run"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    refs: Sequence[str] = args.sessions

    async def work(hub: Hub) -> Exit:
        top = None if args.tree is None else await resolve(hub, args.tree, among=())
        ids = await resolve_all(hub, refs, among=())
        done = await hub.cleanup(
            *ids,
            tree=top,
            force=args.force,
            remote_branch=args.remote_branch,
            dry_run=args.dry_run,
        )
        out = out_of(args)
        out.rows(done.results, CLEANED, whole=done, empty="nothing to remove")
        if args.dry_run and not out.for_programs:
            _print_steps(out, done.results)
        return Exit.OK if args.dry_run else _exit(done.results, named=bool(refs))

    return ask(work)


def _print_steps(out: Out, results: Sequence[Cleaned]) -> None:
    for one in results:
        for step in one.steps:
            out.text(f"  {terminal.cell(one.session_id)}: {terminal.cell(step)}\n")


def _exit(results: Sequence[Cleaned], *, named: bool) -> Exit:
    """To keep what would be lost is right, unless it was named."""
    kept = [one for one in results if not one.removed]
    if not kept or not named:
        return Exit.OK
    return Exit.CONFLICT if len(kept) == len(results) else Exit.PARTIAL
