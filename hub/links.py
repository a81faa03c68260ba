"""The websocket door: authenticate, accept, serve; who is on which link, and what they asked."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final
from weakref import WeakKeyDictionary

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from hub.gate import Gate, Knock
from hub.peers import Peer, Peers, link_of
from protocol.aio.dial import keep_noticing
from protocol.aio.node import Handler, Listener, Node
from protocol.aio.wire import WebsocketWire
from protocol.codec import encode
from protocol.errors import (
    CallError,
    Cancelled,
    FailedPrecondition,
    PermissionDenied,
    Unauthenticated,
)
from protocol.frames import CallId, Goaway
from protocol.limits import (
    BEAT_PATH,
    CLOSE_RESTART,
    CLOSE_SECONDS,
    CLOSE_UNAUTHENTICATED,
    EPOCH_HEADER,
    INITIALIZE_SECONDS,
    MAX_FRAME_BYTES,
    NONCE_PATH,
    PING_SECONDS,
    PING_TIMEOUT_SECONDS,
    RPC_PATH,
    SUBPROTOCOL,
)
from protocol.ops.catalogue import CATALOGUE, Role
from protocol.ops.sessions import AbortedCall
from protocol.switchboard import LinkId

logger = logging.getLogger(__name__)

OPEN_SECONDS = 5.0  # from the TCP accept to the end of the upgrade
DRAIN_SECONDS = 2.0  # for calls that cannot be asked again, when the hub stops
RECONNECT_MS = 1_000
ENDING_SECONDS = 0.4  # for the answers to a revoked link, and then for its side of the close
_STATUS: Final[Mapping[str, HTTPStatus]] = {
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
    "PERMISSION_DENIED": HTTPStatus.FORBIDDEN,
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
    "FAILED_PRECONDITION": HTTPStatus.CONFLICT,
}
Beaten = Callable[[str, int], Awaitable[bool]]


class Links:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        # Admitted, and not yet upgraded; who gives up in between is forgotten with the connection.
        self._admitted: WeakKeyDictionary[ServerConnection, Peer] = WeakKeyDictionary()
        self._endings: set[asyncio.Task[None]] = set()
        self._node: Node | None = None
        self._peers: Peers | None = None
        self._beaten: Beaten = _nobody

    def serve_with(
        self,
        handlers: Mapping[str, Handler],
        listener: Listener,
        left: Callable[[Peer], None],
        beaten: Beaten,
    ) -> Node:
        """The node of this hub; ``left`` is told when a link has ended, ``beaten`` when a spoke
        says beside its link that it lives, and answers whether that connection is the newest."""
        self._node = Node(handlers, detaches=_detaches, listener=listener)
        self._peers = Peers(self._node, left)
        self._beaten = beaten
        return self._node

    @property
    def node(self) -> Node:
        if self._node is None:
            raise RuntimeError("the door is not open yet")
        return self._node

    @property
    def peers(self) -> Peers:
        if self._peers is None:
            raise RuntimeError("the door is not open yet")
        return self._peers

    def peer(self, link: LinkId) -> Peer:
        return self.peers[link]

    def count(self) -> int:
        return len(self.peers)

    def abort_calls(self, sessions: Collection[str], reason: str) -> list[AbortedCall]:
        """Abort the calls in flight that these sessions made, and all below them."""
        aborted: list[AbortedCall] = []
        for peer in self.peers:
            id = peer.principal.session_id
            if id is None or id not in sessions:
                continue
            for call, op in list(peer.calls.items()):
                self.node.abort(call, Cancelled("SESSION_ABORTED", reason))
                aborted.append(AbortedCall(call_id=call, op=op, session_id=id))
        return aborted

    def close(
        self,
        principal_id: str,
        code: int,
        why: CallError,
        *,
        sparing: CallId | None = None,
        lost: bool = False,
    ) -> None:
        """Close every link of a credential, a spoke or a session, within a second.

        From now on nothing is taken from them. What they wait for is aborted and answered with
        ``why``, except the call ``sparing``, which says what it has to say; with ``lost`` it is as
        if the link was lost.
        """
        for connection, peer in list(self._admitted.items()):
            if peer.principal.id == principal_id:
                connection.transport.abort()
        for peer in self.peers:
            if peer.principal.id == principal_id and peer.ending is None:
                peer.ending = why
                calls = [] if lost else list(peer.calls)
                for call in calls:
                    if call != sparing:
                        self.node.abort(call, why)
                ending = asyncio.create_task(self._end(peer, code, why.reason, calls))
                self._endings.add(ending)
                ending.add_done_callback(self._endings.discard)

    def cut(self, principal_id: str, *, sparing: LinkId | None = None) -> None:
        """End every link of a principal as if it was lost: it may come back."""
        for peer in self.peers:
            if peer.principal.id == principal_id and peer.link != sparing:
                peer.websocket.transport.abort()

    async def _end(self, peer: Peer, code: int, reason: str, calls: Sequence[CallId]) -> None:
        """A far side that does not close, or takes no answers, is cut."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ENDING_SECONDS):
                await self.node.wait_answered(peer.link, calls)
        try:
            async with asyncio.timeout(ENDING_SECONDS):
                await peer.websocket.close(code, reason)
        except TimeoutError:
            peer.websocket.transport.abort()
        if peer.away is not None:
            self.peers.lose(peer)

    @asynccontextmanager
    async def open(
        self, host: str, port: int, tls: ssl.SSLContext | None
    ) -> AsyncGenerator[tuple[str, int]]:
        """Listen; the address that it became."""
        sock = _listen(host, port)
        async with serve(
            self._serve,
            sock=sock,
            ssl=tls,
            process_request=self._knock,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            max_size=MAX_FRAME_BYTES,
            open_timeout=OPEN_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_TIMEOUT_SECONDS,
            close_timeout=CLOSE_SECONDS,
            server_header=None,
        ) as server:
            yield sock.getsockname()[:2]
            await self._say_goodbye()
            server.close(code=CLOSE_RESTART, reason="the hub is stopping")
            self.peers.close()

    async def _say_goodbye(self) -> None:
        """What is open and cannot be asked again elsewhere has a little time to be answered."""
        for peer in self.peers:
            self.node.say(peer.link, Goaway("the hub is stopping", RECONNECT_MS))
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                for peer in self.peers:
                    once = [id for id, op in peer.calls.items() if not CATALOGUE[op].idempotent]
                    await self.node.wait_answered(peer.link, once)

    async def _knock(self, connection: ServerConnection, request: Request) -> Response | None:
        path, asks, query = request.path.partition("?")
        if path == NONCE_PATH and not asks:
            return _json(HTTPStatus.OK, {"nonce": self._gate.nonce(), "hubId": self._gate.hub_id})
        if path == BEAT_PATH and not asks:
            return await self._take_beat(connection, request)
        if path != RPC_PATH:
            return _json(HTTPStatus.NOT_FOUND, {"reason": "NOT_FOUND", "message": "not here"})
        knock = Knock(
            authorization=request.headers.get_all("Authorization"),
            origins=request.headers.get_all("Origin"),
            query=query,
            address=_address(connection),
        )
        try:
            principal = await self._gate.admit(knock)
        except CallError as error:
            return _refusal(error)
        link = link_of(principal, connection.id.hex)
        self._admitted[connection] = Peer(link, principal, knock.address, connection)
        return None

    async def _take_beat(self, connection: ServerConnection, request: Request) -> Response:
        """A spoke lives, although its link is silent; it says for which connection."""
        said = request.headers.get_all("Authorization")
        knock = Knock(said, request.headers.get_all("Origin"), "", _address(connection))
        epoch = request.headers.get(EPOCH_HEADER, "")
        try:
            principal = await self._gate.admit(knock)
            if principal.role is not Role.SPOKE:
                raise PermissionDenied("FORBIDDEN", "only a spoke has a pulse")
            number = int(epoch) if epoch.isdecimal() and len(epoch) < 16 else -1
            if not await self._beaten(principal.id, number):
                raise FailedPrecondition("STALE_EPOCH", "that connection is not the newest")
        except CallError as error:
            return _refusal(error)
        return _json(HTTPStatus.OK, {"heard": True})

    async def _serve(self, connection: ServerConnection) -> None:
        peer = self._admitted.pop(connection)
        self.peers.enter(peer)
        deadline = asyncio.create_task(_must_greet(peer))
        wire, carried = WebsocketWire(connection), None
        try:
            carried = await self.node.lines.serve(peer.link, wire)
        finally:
            deadline.cancel()
            if carried is not None:
                self.peers.wire_ended(carried, for_good=wire.parted())


async def _nobody(_spoke: str, _epoch: int) -> bool:
    return False


async def _must_greet(peer: Peer) -> None:
    try:
        async with asyncio.timeout(INITIALIZE_SECONDS):
            await peer.greeted.wait()
    except TimeoutError:
        await peer.websocket.close(CLOSE_UNAUTHENTICATED, "initialize did not come in time")


def _detaches(op: str) -> bool:
    known = CATALOGUE.get(op)
    return known is not None and known.detached


def _listen(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, proto, _, where = found[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keep_noticing(sock)  # accepted sockets inherit it
        sock.bind(where)
        sock.listen(1_024)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _address(connection: ServerConnection) -> str:
    where: tuple[str, int] | None = connection.remote_address
    return where[0] if where else "unknown"


def _refusal(error: CallError) -> Response:
    status = _STATUS.get(error.code, HTTPStatus.SERVICE_UNAVAILABLE)
    extra = (
        {} if error.retry_after_ms is None else {"Retry-After": f"{error.retry_after_ms // 1000}"}
    )
    if isinstance(error, Unauthenticated):
        extra["WWW-Authenticate"] = "Bearer"
    body = {"reason": error.reason, "message": error.message, "advice": error.advice}
    return _json(status, body, extra)


def _json(
    status: HTTPStatus, body: Mapping[str, object], extra: Mapping[str, str] | None = None
) -> Response:
    text = encode(body)
    headers = Headers(
        {
            "Content-Type": "application/json",
            "Content-Length": f"{len(text)}",
            "Connection": "close",
        }
    )
    headers.update(extra or {})
    return Response(status.value, status.phrase, headers, text)
