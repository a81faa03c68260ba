"""The hub, put together: the only file that knows every room."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from hub.bells import Bells
from hub.desk import Desk
from hub.door.gate import Gate
from hub.door.links import Links
from hub.door.peers import Peer
from hub.duties import deadlines, loops
from hub.feed import Feed
from hub.fleet.reach import Reach
from hub.fleet.spokes import Spokes
from hub.fleet.waking import Waker
from hub.health import Health
from hub.hello import initialize
from hub.memory import Memory
from hub.ops.registry import handlers
from hub.ops.spokes import new_join
from hub.ops.table import OPERATIONS
from hub.ops.tokens import new_user
from hub.roles import read as read_roles
from hub.settings import HubSettings
from hub.store import Store, postgres
from hub.web.server import Page
from protocol import ids
from protocol.aio.dial import Address, address, pin_of
from protocol.aio.node import Listener
from protocol.errors import CallError, CoordError
from protocol.frames import Goaway, Notice
from protocol.handshake import INITIALIZE
from protocol.ops.catalogue import HEARTBEAT, Role
from protocol.ops.spokes import InviteParams
from protocol.ops.wire import HeartbeatParams
from protocol.switchboard import LinkId

logger = logging.getLogger(__name__)

ADMIN_TTL_SECONDS = 10 * 365 * 86_400.0
JOIN_TTL_MS = 900_000


class RunningHub:
    """A hub that serves, as the one who started it sees it."""

    def __init__(self, desk: Desk, parts: list[asyncio.Task[None]]) -> None:
        self._desk = desk
        self._parts = parts

    @property
    def url(self) -> str:
        return str(self._desk.address)

    @property
    def http_url(self) -> str:
        return self._desk.http_url

    @property
    def hub_id(self) -> str:
        return self._desk.hub_id

    async def admin_token(self, name: str) -> str:
        """A new credential with the role admin."""
        return (await new_user(self._desk, name, Role.ADMIN, ADMIN_TTL_SECONDS)).token

    async def join_string(
        self, name: str, slots: int | None = None, labels: dict[str, str] | None = None
    ) -> str:
        params = InviteParams(name=name, slots=slots, labels=labels or {}, ttl_ms=JOIN_TTL_MS)
        return (await new_join(self._desk, params)).join

    async def wait_failed(self) -> None:
        """Return when a part of the hub has died; raises what it died of."""
        done, _ = await asyncio.wait(self._parts, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            part.result()


async def migrate(database_url: str) -> list[str]:
    """Bring a database to this version's schema; the names of what was applied."""
    return await postgres.migrate(database_url)


@asynccontextmanager
async def serve(settings: HubSettings) -> AsyncGenerator[RunningHub]:
    """A hub from its first listener to its last answer. Migrates the database first."""
    _keep_secrets_out_of_logs()
    roles = read_roles(settings.roles)
    await migrate(settings.database_url)
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(postgres.connected(settings.database_url))
        store = Store(db)
        hub_id = await store.access.hub_id(f"hub_{ids.new_token().removeprefix('tok_')}")
        await store.access.ensure_partitions(deadlines.PARTITION_DAYS)
        instance, health = ids.new_instance(), Health()
        gate = Gate(store.access, store.exchange, hub_id, time.monotonic)
        links = Links(gate)
        bells = Bells()
        spokes = Spokes(store, bells)
        tls = _tls(settings)
        page = await stack.enter_async_context(Page.listening(settings))
        host, port = await stack.enter_async_context(links.open(settings.host, settings.port, tls))
        desk = Desk(
            settings=settings,
            hub_id=hub_id,
            instance=instance,
            address=_address(settings, host, port),
            http_url=page.url,
            store=store,
            bells=bells,
            feed=Feed(store.sessions, bells),
            spokes=spokes,
            links=links,
            reach=Reach(instance, store.fleet, spokes, bells),
            health=health,
            roles=roles,
            memory=Memory(),
        )
        ours = version("coord")
        greet = initialize(desk, ours)
        links.serve_with(
            {INITIALIZE: greet, **handlers(desk, OPERATIONS)},
            _listener(desk),
            lambda peer: _left(desk, peer),
            lambda spoke, epoch: store.fleet.prolong(spoke, epoch, settings.lease_seconds),
        )
        waker = Waker(settings.database_url, instance, bells, health)
        parts = [
            asyncio.create_task(loops.run(desk, waker, ours), name="loops"),
            asyncio.create_task(page.serve(desk, gate), name="ops page"),
        ]
        try:
            yield RunningHub(desk, parts)
        finally:
            for part in parts:
                part.cancel()
            await asyncio.wait(parts)
            with suppress(CallError):  # the others see it by the time that it wrote last
                await store.fleet.leave(instance)


def _listener(desk: Desk) -> Listener:
    def hear(link: LinkId, frame: Notice | Goaway) -> None:
        peer = desk.links.peer(link)
        if not isinstance(frame, Notice) or frame.op != HEARTBEAT or peer.spoke is None:
            return
        try:
            said = HeartbeatParams.model_validate(frame.params)
        except ValidationError:
            return
        if said.epoch == peer.spoke.epoch:
            desk.spokes.hear(peer.spoke.spoke_id)
            if said.n is not None:
                desk.spokes.owe(peer.spoke, said.n)

    return hear


def _left(desk: Desk, peer: Peer) -> None:
    if peer.spoke is not None:
        desk.spokes.disconnect(peer.spoke)
        logger.info("spoke %s has left; its lease goes on", peer.principal.name)


def _address(settings: HubSettings, host: str, port: int) -> Address:
    if settings.public_url is not None:
        return address(settings.public_url)
    pin = None if settings.tls_cert is None else _pin(settings.tls_cert)
    return Address(settings.tls_cert is not None, host, port, pin)


def _pin(certificate: Path) -> str:
    try:
        return pin_of(ssl.PEM_cert_to_DER_cert(_first_certificate(certificate.read_text())))
    except (OSError, ValueError) as error:
        raise CoordError(f"{certificate} is not a certificate: {error}") from error


def _first_certificate(pem: str) -> str:
    end = "-----END CERTIFICATE-----"
    return pem[: pem.index(end) + len(end)] + "\n"


def _tls(settings: HubSettings) -> ssl.SSLContext | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context


def _keep_secrets_out_of_logs() -> None:
    """At DEBUG these write headers and frames, with the tokens in them."""
    for name in ("websockets", "uvicorn", "uvicorn.access", "uvicorn.error", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
