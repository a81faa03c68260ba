"""coordctl spoke: machines that run agents, here and as the hub sees them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Final

from coord.cli import local_spoke, terminal
from coord.cli.asking import ask, duration, pair
from coord.cli.exits import Exit
from coord.cli.groups import Group, group
from coord.cli.out import add_format, out_of, plain
from coord.cli.views import SPOKES, clock
from coord.client import Hub
from protocol.ops import catalogue as ops

DRAIN_MS: Final = 3_600_000


def arguments(parser: argparse.ArgumentParser) -> None:
    commands = group(parser)
    local_spoke.add_join(commands)
    local_spoke.add_run(commands)
    add_format(commands.add("list", "the spokes and what they hold", _list))
    _named(commands, "cordon", "give a spoke no new work", _cordon(cordoned=True))
    _named(commands, "uncordon", "give a spoke work again", _cordon(cordoned=False))
    drain = _named(commands, "drain", "no new work, and wait until a spoke holds none", _drain)
    drain.add_argument("--abort", action="store_true", help="abort what runs there")
    drain.add_argument("--no-wait", action="store_true", help="do not wait until it holds none")
    drain.add_argument(
        "--timeout", metavar="TIME", type=duration, default=DRAIN_MS, help="how long to wait; 1h"
    )
    invite = commands.add("invite", "a join string for one new spoke: one use", _invite)
    invite.add_argument("--name", metavar="NAME", help="the only name it may take")
    invite.add_argument("--label", metavar="K=V", type=pair, action="append")
    invite.add_argument("--slots", metavar="N", type=int, help="how many sessions at once")
    invite.add_argument("--ttl", metavar="TIME", type=duration, help="good for; 15m")
    add_format(invite)
    revoke = _named(commands, "revoke", "never let a spoke in again", _revoke)
    revoke.add_argument("--reason", metavar="TEXT", default="")
    parser.epilog = "example: coordctl spoke invite --name gpu-1"


def _named(
    commands: Group, name: str, summary: str, run: Callable[[argparse.Namespace], Exit]
) -> argparse.ArgumentParser:
    parser = commands.add(name, summary, run)
    parser.add_argument("spoke", metavar="SPOKE", help="name or id")
    add_format(parser)
    return parser


def _list(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        empty = "no spokes; invite one: coordctl spoke invite"
        out_of(args).rows(await hub.spokes(), SPOKES, empty=empty)
        return Exit.OK

    return ask(work)


def _cordon(*, cordoned: bool) -> Callable[[argparse.Namespace], Exit]:
    def run(args: argparse.Namespace) -> Exit:
        async def work(hub: Hub) -> Exit:
            said = await hub.ask(ops.SPOKE_CORDON, {"spoke": args.spoke, "cordoned": cordoned})
            out_of(args).rows([said], SPOKES, whole=said)
            return Exit.OK

        return ask(work)

    return run


def _drain(args: argparse.Namespace) -> Exit:
    given = {
        "spoke": args.spoke,
        "abort": args.abort,
        "wait_ms": 0 if args.no_wait else args.timeout,
    }

    async def work(hub: Hub) -> Exit:
        said = await hub.ask(ops.SPOKE_DRAIN, given)
        out = out_of(args)
        out.rows([said.spoke], SPOKES, whole=said)
        if said.remaining and not out.for_programs:
            name = terminal.cell(said.spoke.name)
            out.text(f"still holds work: coordctl ps --spoke {name}; end it: --abort\n")
        return Exit.PARTIAL if said.remaining else Exit.OK

    return ask(work)


def _invite(args: argparse.Namespace) -> Exit:
    wanted: Mapping[str, str] | None = dict(args.label) if args.label else None
    given = {"name": args.name, "labels": wanted, "slots": args.slots, "ttl_ms": args.ttl}

    async def work(hub: Hub) -> Exit:
        said = await hub.ask(ops.SPOKE_INVITE, given)
        out = out_of(args)
        if out.for_programs:
            out.value(plain(said))
            return Exit.OK
        out.text(terminal.cell(said.join) + "\n")
        # Beside the join string, so that the string alone goes into a file or a pipe.
        sys.stderr.write(f"good once, until {clock(said.expires_at)}; on the other machine:\n")
        sys.stderr.write("  coordctl spoke join 'THE LINE ABOVE' && coordctl spoke run\n")
        return Exit.OK

    return ask(work)


def _revoke(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        said = await hub.ask(ops.SPOKE_REVOKE, {"spoke": args.spoke, "reason": args.reason})
        out = out_of(args)
        out.rows([said.spoke], SPOKES, whole=said)
        if said.lost and not out.for_programs:
            out.text(f"given up: {terminal.cell(' '.join(said.lost))}\n")
        return Exit.OK

    return ask(work)
