"""coordctl token: credentials of people and programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from coord import context
from coord.cli.asking import ask, duration
from coord.cli.exits import Exit
from coord.cli.groups import group
from coord.cli.out import add_format, out_of
from coord.cli.views import TOKENS, clock
from coord.client import Hub
from protocol.errors import InvalidArgument
from protocol.ops import catalogue as ops


def arguments(parser: argparse.ArgumentParser) -> None:
    commands = group(parser)
    create = commands.add("create", "make a credential; it is shown this once", _create)
    create.add_argument("name", metavar="NAME", help="whose it is")
    create.add_argument(
        "--role", choices=["viewer", "operator", "admin"], default="operator",
        help="what it may: operator (default) runs work, viewer only reads, admin all",
    )  # fmt: skip
    create.add_argument("--ttl", metavar="TIME", type=duration, help="good for 12h, 30d; 90d")
    create.add_argument("--out", metavar="FILE", type=Path, help="write it here (0600) instead")
    add_format(create)
    add_format(commands.add("list", "the credentials, without their secrets", _list))
    revoke = commands.add("revoke", "end a credential and close its links", _revoke)
    revoke.add_argument("token", metavar="TOKEN_ID", help="as `coordctl token list` shows it")
    add_format(revoke)
    parser.epilog = "example: coordctl token create ci --role operator --ttl 30d"


def _create(args: argparse.Namespace) -> Exit:
    file: Path | None = args.out
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        # Before it is made: a token that nobody can read is of no use and good for months.
        raise InvalidArgument("BAD_FILE", f"{file} cannot be written: no such folder, or it is one")

    async def work(hub: Hub) -> Exit:
        made = await hub.ask(
            ops.TOKEN_CREATE, {"name": args.name, "role": args.role, "ttl_ms": args.ttl}
        )
        if file is not None:
            context.write_private(file, made.token + "\n")
            made = made.model_copy(update={"token": f"(in {file})"})
        pairs = [
            ("token", made.token),
            ("id", made.token_id),
            ("role", made.role),
            ("expires", clock(made.expires_at)),
        ]
        out_of(args).facts(made, pairs)
        return Exit.OK

    return ask(work)


def _list(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        found = await hub.ask(ops.TOKEN_LIST, {})
        out_of(args).rows(found.tokens, TOKENS)
        return Exit.OK

    return ask(work)


def _revoke(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        ended = await hub.ask(ops.TOKEN_REVOKE, {"token_id": args.token})
        out_of(args).rows([ended], TOKENS, whole=ended)
        return Exit.OK

    return ask(work)
