"""coordctl up: everything on this machine, with no configuration: database, hub, one spoke."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coord import context
from coord.cli import spoke_settings
from coord.cli.daemon import first_of, log_to_stderr, run_fast, stop_signals
from coord.cli.exits import Exit
from coord.cli.nursery import Nursery, enrolled
from coord.cli.serving import add_serving, admin_token, serving, settings_of
from coord.cli.tables import Paper, facts
from coord.client import connect
from hub.app import RunningHub
from hub.embedded import binaries
from hub.embedded.cluster import Cluster
from hub.embedded.owner import Owner
from hub.settings import HubSettings
from protocol.errors import CallError, Internal
from spoke.settings import SpokeSettings

logger = logging.getLogger(__name__)

_DOORS: Final = (("host", "port"), ("http_host", "http_port"))


def arguments(parser: argparse.ArgumentParser) -> None:
    add_serving(parser)
    parser.add_argument("--data", metavar="DIR", type=Path, help="database, spoke and token")
    spoke_settings.add(parser)
    parser.add_argument("--no-spoke", action="store_true", help="no agents on this machine")
    parser.epilog = "example: coordctl up"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    log_to_stderr()
    data: Path = (args.data or context.state_path()).absolute()
    settings_of(args, "", data)  # what cannot be is refused before anything is started
    _spoke_settings(args, data)
    with Owner(data):
        return run_fast(_up(args, data))


@dataclass(frozen=True, slots=True)
class _House:
    hub: RunningHub
    token: str
    database: str
    cluster: Cluster | None
    spoke: str
    nursery: Nursery | None


async def _up(args: argparse.Namespace, data: Path) -> Exit:
    running = 0
    with stop_signals() as stop:
        async with AsyncExitStack() as stack:
            house = await _start(args, data, stack)
            print(_summary(house, data), flush=True)
            try:
                await _wait_stopped(stop, house)
            finally:
                running = await _live(house)
    print(f"stopped; agents that keep running: {running}" if running else "stopped", flush=True)
    return Exit.OK


async def _start(args: argparse.Namespace, data: Path, stack: AsyncExitStack) -> _House:
    """Database, hub, spoke, in this order; they are stopped in the other."""
    cluster, database, url = await _database(args, data, stack)
    settings = _with_ports(args, settings_of(args, url, data / "hub"), data)
    hub = await stack.enter_async_context(serving(settings))
    _remember_ports(data, hub)
    token = await admin_token(hub, data / "hub" / "admin-token", "up")
    _write_context(hub, token)
    if args.no_spoke:
        return _House(hub, token, database, cluster, "none (--no-spoke)", None)
    mine, name = await enrolled(hub, _spoke_settings(args, data), args.slots)
    nursery = Nursery(mine)
    stack.push_async_callback(nursery.stop)
    await nursery.start()
    said = f"{name}, {mine.slots} slots, pid {nursery.pid}, in {mine.state}"
    return _House(hub, token, database, cluster, said, nursery)


def _spoke_settings(args: argparse.Namespace, data: Path) -> SpokeSettings:
    return spoke_settings.of(args, data / "spoke", data)  # all of it is hidden from sandboxes


async def _database(
    args: argparse.Namespace, data: Path, stack: AsyncExitStack
) -> tuple[Cluster | None, str, str]:
    """The one that is named, or our own: server, what to say of it, where it is."""
    given: str | None = args.database_url or context.database_url()
    if given is not None:
        named = "--database-url" if args.database_url else "DATABASE_URL"
        return None, f"the one that {named} names", given
    programs = await asyncio.to_thread(binaries.find)
    cluster = Cluster(data / "postgres", programs)
    endpoint = await cluster.start()
    stack.push_async_callback(cluster.stop)
    said = f"PostgreSQL {programs.major} ({programs.source}), in {data / 'postgres'}"
    return cluster, said, endpoint.dsn


def _with_ports(args: argparse.Namespace, settings: HubSettings, data: Path) -> HubSettings:
    """Ports nobody asked for: those of last time, else the usual ones, else free ones."""
    chosen: dict[str, int] = {}
    last = _last_ports(data)
    for host, name in _DOORS:
        if getattr(args, name) is not None:
            continue
        usual: int = getattr(settings, name)
        wanted = last.get(name, usual)
        if _is_free(getattr(settings, host), wanted):
            chosen[name] = wanted
        else:
            chosen[name] = 0
            logger.warning("port %d is taken; a free one is used instead", wanted)
    return settings.model_copy(update=chosen)


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError:
            return False
        return True


def _last_ports(data: Path) -> dict[str, int]:
    try:
        value: object = json.loads((data / "ports.json").read_text())
    except (OSError, ValueError):
        return {}
    match value:
        case {"port": int(port), "http_port": int(http_port)}:
            return {"port": port, "http_port": http_port}
        case _:
            return {}


def _remember_ports(data: Path, hub: RunningHub) -> None:
    """So that the links of agents, spokes and browsers are good after the next start."""
    ports = {"port": _port(hub.url), "http_port": _port(hub.http_url)}
    context.write_private(data / "ports.json", json.dumps(ports) + "\n")


def _port(url: str) -> int:
    return int(url.partition("#")[0].rstrip("/").rpartition(":")[2])


def _write_context(hub: RunningHub, token: str) -> None:
    file = context.path()
    try:
        before = context.read(file)
    except CallError:
        before = None
    if before is not None and before.url != hub.url:
        logger.info("%s named %s; it names this hub now", file, before.url)
    context.write(file, hub.url, token)


def _summary(house: _House, data: Path) -> str:
    lines = [
        ("database", house.database),
        ("hub", house.hub.url),
        ("ops page", f"{house.hub.http_url}  (open it with: coordctl dashboard --open)"),
        ("spoke", house.spoke),
        ("files", f"{data}; the way in is {context.path()}"),
        (
            "next",
            "coordctl spawn TASK --prompt TEXT -- ./agent.sh    (Ctrl-C stops all but agents)",
        ),
    ]
    return facts(lines, Paper())


async def _wait_stopped(stop: asyncio.Event, house: _House) -> None:
    """Until told to stop. Raises Internal when the hub or the database has died."""
    parts: list[Coroutine[object, object, object]] = [stop.wait(), house.hub.wait_failed()]
    if house.cluster is not None:
        parts.append(house.cluster.wait_died())
    match await first_of(*parts):
        case 0:
            return
        case 1:
            raise Internal("HUB_DIED", "a part of the hub has ended", advice="coordctl up")
        case _:
            raise Internal("DATABASE_DIED", "PostgreSQL has ended", advice="coordctl up")


async def _live(house: _House) -> int:
    """How many sessions there are on spokes; 0 where nobody can say any more."""
    try:
        async with asyncio.timeout(5), connect(house.hub.url, house.token) as hub:
            return sum(spoke.live for spoke in await hub.spokes())
    except (CallError, TimeoutError):
        return 0
