"""coordctl hub: a hub by itself, and its database."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from coord import context
from coord.cli import terminal
from coord.cli.asking import ask
from coord.cli.daemon import log_to_stderr, run_fast, stop_signals
from coord.cli.exits import Exit
from coord.cli.groups import group
from coord.cli.out import add_format, out_of
from coord.cli.serving import add_serving, admin_token, serving, settings_of, wait_stopped
from coord.cli.views import HUBS
from coord.client import Hub
from hub.app import migrate
from hub.settings import HubSettings
from protocol.errors import InvalidArgument
from protocol.ops import catalogue as ops

logger = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    commands = group(parser)
    serve = commands.add("serve", "run a hub until it is told to stop", _serve)
    serve.add_argument("--state", metavar="DIR", type=Path, help="for its first admin token")
    add_serving(serve)
    serve.epilog = (
        "example: DATABASE_URL=postgresql://... coordctl hub serve --host 0.0.0.0"
        " --tls-cert tls.crt --tls-key tls.key"
    )
    migrate = commands.add("migrate", "bring the database to this version's schema", _migrate)
    migrate.add_argument("--database-url", metavar="URL", help="default: DATABASE_URL")
    add_format(commands.add("list", "the hubs that share a database", _list))
    drain = commands.add("drain", "send the links of a hub to the others", _drain)
    drain.add_argument("hub", metavar="HUB", nargs="?", help="as `hub list` says; the one asked")
    drain.add_argument("--undo", action="store_true", help="let it take links again")
    add_format(drain)
    parser.epilog = "example: coordctl hub serve --behind-proxy --public-url wss://hub.example.org"


def _serve(args: argparse.Namespace) -> Exit:
    log_to_stderr()
    state: Path = (args.state or context.state_path() / "hub").absolute()
    return run_fast(_run(settings_of(args, _database_url(args), state)))


async def _run(settings: HubSettings) -> Exit:
    with stop_signals() as stop:
        async with serving(settings) as hub:
            file = settings.state / "admin-token"
            await admin_token(hub, file, "admin")
            logger.info("hub %s serves %s; ops page %s", hub.hub_id, hub.url, hub.http_url)
            logger.info("its first admin token is in %s", file)
            await wait_stopped(stop, hub)
    logger.info("stopped; agents keep running")
    return Exit.OK


def _migrate(args: argparse.Namespace) -> Exit:
    applied = asyncio.run(migrate(_database_url(args)))
    print("\n".join(f"applied {name}" for name in applied) or "nothing to do")
    return Exit.OK


def _list(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        said = await hub.ask(ops.HUB_LIST, {})
        out = out_of(args)
        out.rows(said.hubs, HUBS, whole=said)
        if said.doubt and not out.for_programs:
            out.text(terminal.cell(f"nobody is called out of reach now: {said.doubt}") + "\n")
        return Exit.OK

    return ask(work)


def _drain(args: argparse.Namespace) -> Exit:
    async def work(hub: Hub) -> Exit:
        given = {"hub": args.hub, "draining": not args.undo}
        said = await hub.ask(ops.HUB_DRAIN, given)
        out_of(args).rows([said], HUBS, whole=said)
        return Exit.OK

    return ask(work)


def _database_url(args: argparse.Namespace) -> str:
    url: str | None = args.database_url or context.database_url()
    if url is None:
        raise InvalidArgument(
            "NO_DATABASE",
            "no database is named",
            advice="set DATABASE_URL=postgresql://..., or let `coordctl up` bring its own",
        )
    return url
