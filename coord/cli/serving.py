"""What `hub serve` and `up` have in common: the options of a hub, its first token, its life."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import ValidationError

from coord import context
from coord.cli.daemon import first_of, stay
from coord.client import connect
from hub.app import RunningHub, serve
from hub.roles import read as read_roles
from hub.settings import HubSettings
from protocol.errors import CallError, Conflict, Internal, InvalidArgument, Unauthenticated


def add_serving(parser: argparse.ArgumentParser) -> None:
    door = parser.add_argument_group("where it listens")
    door.add_argument("--host", metavar="ADDRESS", help="of the call protocol; 127.0.0.1")
    door.add_argument("--port", metavar="N", type=int, help="7443; 0 chooses a free one")
    door.add_argument("--http-host", metavar="ADDRESS", help="of the ops page; 127.0.0.1")
    door.add_argument("--http-port", metavar="N", type=int, help="7480; 0 chooses a free one")
    door.add_argument("--public-url", metavar="URL", help="how others reach it, if not so")
    door.add_argument("--tls-cert", metavar="FILE", type=Path, help="certificate chain, PEM")
    door.add_argument("--tls-key", metavar="FILE", type=Path, help="its private key, PEM")
    door.add_argument("--behind-proxy", action="store_true", help="a proxy speaks TLS for it")
    parser.add_argument("--roles", metavar="FILE", type=Path, help="TOML; default: COORD_ROLES")
    parser.add_argument("--database-url", metavar="URL", help="default: DATABASE_URL")


def settings_of(args: argparse.Namespace, database_url: str, state: Path) -> HubSettings:
    """Raises InvalidArgument (INSECURE_BIND, BAD_SETTINGS, BAD_ROLES)."""
    said = {
        name: getattr(args, name)
        for name in (
            "host", "port", "http_host", "http_port", "public_url", "tls_cert", "tls_key",
            "behind_proxy",
        )
        if getattr(args, name) is not None
    }  # fmt: skip
    said["roles"] = file = args.roles or context.roles_file()
    read_roles(file)  # what is wrong with it is said before anything is started
    try:
        return HubSettings(database_url=database_url, state=state, **said)
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors())
        raise InvalidArgument("BAD_SETTINGS", faults, advice="coordctl up --help") from None


@asynccontextmanager
async def serving(settings: HubSettings) -> AsyncGenerator[RunningHub]:
    """A hub that listens. Raises Conflict (PORT_TAKEN) and what `hub.app.serve` raises."""
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    running = serve(settings)
    try:
        hub = await running.__aenter__()
    except OSError as error:
        raise Conflict(
            "PORT_TAKEN",
            f"the hub cannot listen on {settings.host}:{settings.port} and"
            f" {settings.http_host}:{settings.http_port}: {error.strerror or error}",
            advice="give other ones: --port N --http-port N (0 chooses a free one)",
        ) from error
    stay()
    try:
        yield hub
    finally:
        await running.__aexit__(None, None, None)


async def admin_token(hub: RunningHub, file: Path, name: str) -> str:
    """The token in the file, or a new one written there where it is missing or no longer good."""
    token = _kept(file)
    if token is None or not await _is_good(hub.url, token):
        token = await hub.admin_token(name)
        context.write_private(file, token + "\n")
    return token


def _kept(file: Path) -> str | None:
    try:
        return file.read_text().strip() or None
    except FileNotFoundError:
        return None


async def wait_stopped(stop: asyncio.Event, hub: RunningHub) -> None:
    """Until told to stop. Raises what a part of the hub died of."""
    if await first_of(stop.wait(), hub.wait_failed()) != 0:
        raise Internal("HUB_DIED", "a part of the hub has ended", advice="start it again")


async def _is_good(url: str, token: str) -> bool:
    """Whether the hub knows it. Where the hub cannot be asked from here, nothing speaks against."""
    try:
        async with connect(url, token, name="coordctl"):
            return True
    except Unauthenticated as refused:
        return refused.reason == "PIN_MISMATCH"
    except CallError:
        return True
