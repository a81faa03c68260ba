"""coordctl login: remember a hub and a token, once they are seen to work."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from pathlib import Path

from coord import context
from coord.cli import terminal
from coord.cli.asking import reason_of
from coord.cli.exits import Exit
from coord.client import connect
from protocol import tokens
from protocol.aio.dial import address
from protocol.errors import InvalidArgument


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="wss://host:port, with #sha256=... if pinned")
    parser.add_argument(
        "--token-file", metavar="FILE", help="- reads standard input; default: you are asked"
    )
    parser.epilog = "example: coordctl login wss://hub.example.org --token-file token.txt"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    url = str(address(args.url))
    token = _token(args.token_file)
    if tokens.kind_of(token) is not tokens.Kind.USER:
        raise InvalidArgument(
            "BAD_TOKEN",
            "this is not a whole token: one begins with cku_",
            advice="coordctl token create NAME, where you are logged in already",
        )
    principal, role = asyncio.run(_welcomed(url, token))
    context.write(context.path(), url, token)
    print(terminal.cell(f"logged in to {url} as {principal} ({role}); kept in {context.path()}"))
    return Exit.OK


async def _welcomed(url: str, token: str) -> tuple[str, str]:
    async with connect(url, token, name="coordctl login") as hub:
        return hub.welcome.principal, hub.welcome.role


def _token(file: str | None) -> str:
    """Never from the command line: everybody on the machine can read that."""
    if file is None and sys.stdin.isatty():
        return getpass.getpass("token: ").strip()
    if file in (None, "-"):
        return sys.stdin.read().strip()
    try:
        return Path(str(file)).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument("BAD_TOKEN", f"{file} cannot be read: {reason_of(error)}") from error
