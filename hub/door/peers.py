"""The far ends of links, and how those that lost their wire come back to what they had open."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection

from hub.core.rights import Principal
from hub.fleet.connected import Connected
from protocol.aio.node import Context, Node
from protocol.errors import CallError, FailedPrecondition
from protocol.frames import CallId
from protocol.handshake import Resume
from protocol.limits import GRACE_SECONDS
from protocol.resume import Turn, expired
from protocol.switchboard import LinkId

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Peer:
    """The far end of a link."""

    link: LinkId
    principal: Principal
    address: str
    websocket: ServerConnection  #: the one that carries it, or did last
    greeted: asyncio.Event = field(default_factory=asyncio.Event)
    greeting: bool = False  #: `initialize` is being answered
    ending: CallError | None = None  #: nothing more is taken from it, and why
    spoke: Connected | None = None
    calls: dict[CallId, str] = field(default_factory=dict[CallId, str])  # what it waits for
    resume_token: str | None = None  #: it may come back with this
    away: asyncio.TimerHandle | None = None  #: it has no wire; until when it is waited for

    @property
    def connection_id(self) -> str:
        return self.link.rpartition(":")[2]


def link_of(principal: Principal, connection_id: str) -> LinkId:
    return LinkId(f"{principal.role}:{connection_id}")


class Peers:
    """``left`` is told when a link is over."""

    def __init__(self, node: Node, left: Callable[[Peer], None]) -> None:
        self._node = node
        self._left = left
        self._peers: dict[LinkId, Peer] = {}
        self._closed = False

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._peers.values()))

    def __len__(self) -> int:
        return len(self._peers)

    def __getitem__(self, link: LinkId) -> Peer:
        return self._peers[link]

    def enter(self, peer: Peer) -> None:
        self._peers[peer.link] = peer
        self._node.lines.open(peer.link)

    def wire_ended(self, link: LinkId, *, for_good: bool) -> None:
        """What carried a link has ended: wait for it to come back, or give it up."""
        peer = self._peers[link]
        if for_good or peer.resume_token is None or peer.ending is not None or self._closed:
            self.lose(peer)
        else:
            self._wait_for(peer)

    def lose(self, peer: Peer) -> None:
        """It does not come back: what it asked for is aborted, unless that is detached."""
        if self._peers.pop(peer.link, None) is not None:
            _stop_waiting(peer)
            self._node.lose(peer.link)
            self._left(peer)

    def close(self) -> None:
        """Nobody comes back any more."""
        self._closed = True
        for peer in self:
            if peer.away is not None:
                self.lose(peer)

    # Coming back.

    def keep(self, peer: Peer, context: Context) -> None:
        """Once it is welcome, its connection outlives its wire."""
        peer.resume_token = secrets.token_urlsafe(18)
        context.then(lambda: self._node.lines.keep(peer.link))

    def take_up(self, peer: Peer, resume: Resume, context: Context) -> tuple[Peer, int]:
        """The connection that is resumed over the wire of ``peer``, and how much of it was heard.

        The wire is handed over once it is welcome. Raises FailedPrecondition (RESUME_EXPIRED).
        """
        old = self._peers.get(link_of(peer.principal, resume.connection_id))
        if old is None or not _may_resume(old, peer, resume.token):
            raise expired("it is not known here, or was given up")
        turn, heard = self._node.lines.fence(old.link, resume.heard)
        self._wait_for(old)
        context.then(lambda: self._hand_over(peer, old, turn, resume.heard))
        return old, heard

    def _hand_over(self, peer: Peer, old: Peer, turn: Turn, heard: int) -> None:
        try:
            self._node.lines.hand_over(peer.link, old.link, turn, heard)
        except FailedPrecondition as late:
            logger.info("%s: %s", peer.principal.name, late)
            peer.websocket.transport.abort()
            return
        del self._peers[peer.link]
        _stop_waiting(old)
        old.websocket, old.address = peer.websocket, peer.address

    def _wait_for(self, peer: Peer) -> None:
        _stop_waiting(peer)
        loop = asyncio.get_running_loop()
        peer.away = loop.call_later(GRACE_SECONDS, self.lose, peer)


def _stop_waiting(peer: Peer) -> None:
    if peer.away is not None:
        peer.away.cancel()
        peer.away = None


def _may_resume(old: Peer, peer: Peer, token: str) -> bool:
    return (
        old.resume_token is not None
        and hmac.compare_digest(old.resume_token.encode(), token.encode())
        and old.principal.id == peer.principal.id
        and old.ending is None
    )
