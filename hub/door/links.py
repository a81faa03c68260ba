"""The websocket door: authenticate, accept, serve; who is on which link, and what they asked."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from weakref import WeakKeyDictionary

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from hub.door.beats import Beaten, nobody, take_beat
from hub.door.gate import Gate, Knock
from hub.door.peers import Peer, Peers, link_of
from hub.door.replies import listen, page, refusal
from protocol.aio.node import Handler, Listener, Node
from protocol.aio.wire import WebsocketWire
from protocol.errors import CallError, Cancelled, Unavailable
from protocol.frames import CallId, Goaway
from protocol.limits import (
    BEAT_PATH,
    CLOSE_RESTART,
    CLOSE_SECONDS,
    CLOSE_UNAUTHENTICATED,
    INITIALIZE_SECONDS,
    MAX_FRAME_BYTES,
    NONCE_PATH,
    PING_SECONDS,
    PING_TIMEOUT_SECONDS,
    RPC_PATH,
    SUBPROTOCOL,
    WRITE_BYTES,
)
from protocol.ops.catalogue import CATALOGUE, Role
from protocol.ops.sessions import AbortedCall
from protocol.switchboard import LinkId

logger = logging.getLogger(__name__)

OPEN_SECONDS = 5.0  # from the TCP accept to the end of the upgrade
DRAIN_SECONDS = 2.0  # for calls that cannot be asked again, when the hub stops
RECONNECT_MS = 1_500  # at most, for which one that is sent away stays away
GOODBYE_BATCH = 100  # that are sent away together,
GOODBYE_SECONDS = 0.05  # and the pause after them
ENDING_SECONDS = 0.4  # for the answers to a revoked link, and then for its side of the close


_PEOPLE: Final = frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN})


@dataclass(frozen=True, slots=True)
class Held:
    """Token ids; and sessions, each with the attempt whose credential it was."""

    tokens: list[str]
    sessions: list[tuple[str, int]]


class Links:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        # Admitted, and not yet upgraded; who gives up in between is forgotten with the connection.
        self._admitted: WeakKeyDictionary[ServerConnection, Peer] = WeakKeyDictionary()
        self._endings: set[asyncio.Task[None]] = set()
        self._node: Node | None = None
        self._peers: Peers | None = None
        self._beaten: Beaten = nobody
        self._takes_none = False

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

    def credentials(self) -> Held:
        """By what the links of now were let in, spokes aside."""
        principals = [peer.principal for peer in self.peers if peer.ending is None]
        return Held(
            sorted({one.id for one in principals if one.role in _PEOPLE}),
            sorted({(one.id, one.attempt or 0) for one in principals if one.session_id == one.id}),
        )

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
        sock = listen(host, port)
        async with serve(
            self._serve,
            sock=sock,
            ssl=tls,
            process_request=self._knock,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            write_limit=WRITE_BYTES,
            max_size=MAX_FRAME_BYTES,
            open_timeout=OPEN_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_TIMEOUT_SECONDS,
            close_timeout=CLOSE_SECONDS,
            server_header=None,
        ) as server:
            yield sock.getsockname()[:2]
            await self.say_goodbye("the hub is stopping")
            server.close(code=CLOSE_RESTART, reason="the hub is stopping")
            self.peers.close()

    async def say_goodbye(self, why: str) -> None:
        """Send everybody away, some at a time and not all at one moment: they come to others.

        What is open and cannot be asked again elsewhere has a little time to be answered.
        """
        for n, peer in enumerate(self.peers, 1):
            after = random.randint(200, RECONNECT_MS)  # noqa: S311 - spreads load, hides nothing
            self.node.say(peer.link, Goaway(why, after))
            if n % GOODBYE_BATCH == 0:
                await asyncio.sleep(GOODBYE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                for peer in self.peers:
                    once = [id for id, op in peer.calls.items() if not CATALOGUE[op].idempotent]
                    await self.node.wait_answered(peer.link, once)

    def take(self, *, none: bool) -> None:
        """Whether links are taken; a hub that is drained refuses all, and says so."""
        self._takes_none = none

    async def _knock(self, connection: ServerConnection, request: Request) -> Response | None:
        path, asks, query = request.path.partition("?")
        if path == NONCE_PATH and not asks:
            return page(HTTPStatus.OK, {"nonce": self._gate.nonce(), "hubId": self._gate.hub_id})
        if path == BEAT_PATH and not asks:
            return await take_beat(self._gate, self._beaten, request, _address(connection))
        if path != RPC_PATH:
            return page(HTTPStatus.NOT_FOUND, {"reason": "NOT_FOUND", "message": "not here"})
        knock = Knock(
            authorization=request.headers.get_all("Authorization"),
            origins=request.headers.get_all("Origin"),
            query=query,
            address=_address(connection),
        )
        try:
            principal = await self._gate.admit(knock)
            if self._takes_none:
                raise _draining()
        except CallError as error:
            return refusal(error)
        link = link_of(principal, connection.id.hex)
        self._admitted[connection] = Peer(link, principal, knock.address, connection)
        return None

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


def _draining() -> Unavailable:
    return Unavailable(
        "HUB_DRAINING",
        "this hub is being drained",
        advice="go to another hub of the same database",
        retry_after_ms=1_000,
    )


async def _must_greet(peer: Peer) -> None:
    try:
        async with asyncio.timeout(INITIALIZE_SECONDS):
            await peer.greeted.wait()
    except TimeoutError:
        await peer.websocket.close(CLOSE_UNAUTHENTICATED, "initialize did not come in time")


def _detaches(op: str) -> bool:
    known = CATALOGUE.get(op)
    return known is not None and known.detached


def _address(connection: ServerConnection) -> str:
    where: tuple[str, int] | None = connection.remote_address
    return where[0] if where else "unknown"
