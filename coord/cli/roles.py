"""coordctl roles: what sessions may be spawned as."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from coord.cli.asking import ask
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of
from coord.cli.tables import Column
from coord.client import Hub
from protocol.ops import catalogue as ops
from protocol.ops.roles import RoleView


def _permissions(of: RoleView) -> str:
    if of.permissions is None:
        return "all"
    return "; ".join([*of.permissions.rules, f"{of.permissions.default} *"])


ROLES: Sequence[Column[RoleView]] = (
    Column("ROLE", lambda r: r.name),
    Column("AGENT", lambda r: r.agent or "-"),
    Column("MODEL", lambda r: r.model or "-"),
    Column("WHAT", lambda r: r.description),
    Column("FROM", lambda r: "built in" if r.built_in else "file"),
    Column("SANDBOX", lambda r: r.sandbox or "-"),
    Column("MAY", _permissions, wide=True),
    Column("ENV", lambda r: " ".join(r.env), wide=True),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_format(parser)
    parser.epilog = "example: coordctl spawn review --role code-reviewer --agent claude"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        said = await hub.ask(ops.ROLES, {})
        out_of(args).rows(said.roles, ROLES, whole=said)
        return Exit.OK

    return ask(work)
