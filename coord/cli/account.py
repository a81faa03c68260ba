"""coordctl account: whose limits park sessions, and ending one before its time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from coord.cli.asking import ask
from coord.cli.exits import Exit
from coord.cli.groups import group
from coord.cli.out import add_format, out_of
from coord.cli.tables import Column, age
from coord.cli.views import clock, now
from coord.client import Hub
from protocol.ops import catalogue as ops
from protocol.ops.accounts import AccountView

ACCOUNTS: Sequence[Column[AccountView]] = (
    Column("ACCOUNT", lambda a: a.account),
    Column("STATE", lambda a: a.state),
    Column("UNTIL", lambda a: clock(a.limited_until) or "-"),
    Column("WAITING", lambda a: str(a.waiting)),
    Column("LIMITED", lambda a: f"{age(a.limited_at, now())} ago"),
    Column("SAID", lambda a: a.said),
    Column("IN A ROW", lambda a: str(a.strikes), wide=True),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    commands = group(parser)
    listed = commands.add("list", "accounts that have, or had, a limit, and who waits", _list)
    add_format(listed)
    opened = commands.add("open", "end a limit before its time; who waited goes on", _open)
    opened.add_argument("account", metavar="ACCOUNT", help="as `coordctl account list` shows it")
    opened.add_argument("--reason", metavar="TEXT", default="", help="for the stories of sessions")
    add_format(opened)
    parser.epilog = "example: coordctl account open claude --reason 'topped up'"


def _list(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        found = await hub.ask(ops.ACCOUNT_LIST, {})
        out_of(args).rows(found.accounts, ACCOUNTS, empty="no account was ever limited")
        return Exit.OK

    return ask(work)


def _open(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        said = await hub.ask(ops.ACCOUNT_OPEN, {"account": args.account, "reason": args.reason})
        out = out_of(args)
        if out.for_programs:
            out.rows([said.account], ACCOUNTS, whole=said)
        elif said.was_limited:
            out.text(f"{said.account.account} is open; {_those(len(said.woken))}\n")
        else:
            out.text(f"{said.account.account} was open already\n")
        return Exit.OK

    return ask(work)


def _those(woken: int) -> str:
    return "1 session goes on" if woken == 1 else f"{woken} sessions go on"
