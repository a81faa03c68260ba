"""The ops page as a server: a socket of ours, uvicorn on it, stopped without a trace."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import Final, Self

import uvicorn

from hub.desk import Desk
from hub.door.gate import Gate
from hub.settings import HubSettings
from hub.web import hosts
from hub.web.answers import HEADERS
from hub.web.door import Door
from hub.web.live import Streams
from hub.web.metrics import Metrics
from hub.web.overview import Board
from hub.web.pages import Pages
from hub.web.routes import Rooms, routes
from hub.web.visitor import Visitors
from hub.web.wire import BoundedHttp
from protocol.aio.dial import keep_noticing

BACKLOG: Final = 1_024
IDLE_SECONDS: Final = 5  #: between two requests on one connection
STOP_SECONDS: Final = 2  #: for answers under way, when the hub stops


class Page:
    """The page, listening; it answers once it is served."""

    def __init__(self, settings: HubSettings, sock: socket.socket) -> None:
        self._settings = settings
        self._socket = sock
        self._port: int = sock.getsockname()[1]

    @classmethod
    @asynccontextmanager
    async def listening(cls, settings: HubSettings) -> AsyncGenerator[Self]:
        """Bind; raises OSError where that cannot be. Port 0 is a free one."""
        with _listen(settings.http_host, settings.http_port) as sock:
            yield cls(settings, sock)

    @property
    def url(self) -> str:
        return hosts.url(self._settings, self._port)

    async def serve(self, desk: Desk, gate: Gate) -> None:
        """Answer until cancelled; then end the streams and what else is under way."""
        visitors = Visitors(desk.store.access, gate)
        streams = Streams(desk, Board(desk), visitors)
        pages = await asyncio.to_thread(Pages, desk.hub_id, version("coord"))
        metrics = Metrics(desk, version("coord"))
        app = routes(Rooms(desk, visitors, pages, streams, metrics))
        door = Door(app, hosts.allowed(self._settings, self._port), visitors, pages)
        server = _Server(self._config(door))
        serving = asyncio.create_task(server.serve([self._socket]), name="uvicorn")
        try:
            await asyncio.shield(serving)
        finally:
            streams.stop()
            server.should_exit = True
            # Its own limit is STOP_SECONDS; this one is for a limit that does not hold.
            await asyncio.wait([serving], timeout=2 * STOP_SECONDS)
            serving.cancel()
            await asyncio.wait([serving])

    def _config(self, app: Door) -> uvicorn.Config:
        config = uvicorn.Config(
            app,
            http=BoundedHttp,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            headers=HEADERS,
            backlog=BACKLOG,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        config.load()
        config.ssl = _tls(self._settings)
        return config


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        # It sets these with its first tick, which is after the first connection can come.
        self.server_state.default_headers = config.encoded_headers

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals belong to whoever runs the hub."""
        yield


@contextmanager
def _listen(host: str, port: int) -> Generator[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, proto, _, where = found[0]
    with socket.socket(family, kind, proto) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keep_noticing(sock)  # accepted sockets inherit it
        sock.bind(where)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        yield sock


def _tls(settings: HubSettings) -> ssl.SSLContext | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context
