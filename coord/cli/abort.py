"""coordctl abort: end sessions and all below them, and print what was seen dead."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from coord.cli import terminal
from coord.cli.asking import ANY, LIVE, ask, duration, resolve_all
from coord.cli.exits import Exit
from coord.cli.out import Format, Out, add_format, out_of, plain
from coord.cli.views import ENDED
from coord.client import Hub
from protocol.ops.sessions import Receipt
from protocol.session import State

_ABORTABLE: Final = LIVE | {State.LOST}  #: the agent of one that is lost may be alive


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sessions", metavar="REF", nargs="+", help=ANY)
    parser.add_argument("--reason", metavar="TEXT", default="")
    parser.add_argument("--grace", metavar="TIME", type=duration, help="from INT to KILL")
    parser.add_argument("--now", action="store_true", help="KILL at once")
    parser.add_argument(
        "--force", action="store_true", help="give up what is out of reach: nobody saw it dead"
    )
    parser.add_argument("--no-wait", action="store_true", help="do not wait until all are dead")
    parser.add_argument("--timeout", metavar="TIME", type=duration, help="how long to wait; 1m")
    add_format(parser)
    parser.epilog = "example: coordctl abort fix-login --reason 'wrong branch'"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    refs: Sequence[str] = args.sessions

    async def work(hub: Hub) -> Exit:
        receipts = [
            await hub.abort(
                id,
                reason=args.reason,
                grace_ms=args.grace,
                now=args.now,
                force=args.force,
                wait=not args.no_wait,
                wait_ms=args.timeout,
            )
            for id in await resolve_all(hub, refs, among=_ABORTABLE)
        ]
        _show(out_of(args), receipts)
        return Exit.OK if all(one.complete for one in receipts) else Exit.PARTIAL

    return ask(work)


def _show(out: Out, receipts: Sequence[Receipt]) -> None:
    match out.format:
        case Format.JSON:
            one_or_all = [plain(receipt) for receipt in receipts]
            out.value(one_or_all[0] if len(one_or_all) == 1 else one_or_all)
        case Format.JSONL:
            for receipt in receipts:
                out.value(plain(receipt))
        case Format.TABLE | Format.WIDE:
            for receipt in receipts:
                _print(out, receipt)


def _print(out: Out, receipt: Receipt) -> None:
    out.rows(receipt.sessions, ENDED)
    for call in receipt.calls:
        out.text(terminal.cell(f"call {call.op} of {call.session_id} aborted") + "\n")
    for id in receipt.spared:
        out.text(terminal.cell(f"{id} was spawned to continue, and does") + "\n")
    word = "complete" if receipt.complete else "pending"
    out.text(f"receipt {terminal.cell(receipt.abort_id)}: {word}\n")
