"""Dials the hub and dials again, for ever: with full jitter, patiently where it was refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from protocol.aio.dial import Address, address, dial
from protocol.errors import CallError, CoordError, PermissionDenied, Unauthenticated
from protocol.handshake import SpokeHello
from spoke.connection import Connection, Exchange
from spoke.identity import Identity, authorization
from spoke.pulse import Pulse

_log = logging.getLogger(__name__)

FULL_JITTER: Final = wait_random_exponential(multiplier=1, max=64)  #: seconds
STEADY_S: Final = 60.0  #: a link that was up this long ended for a reason of its own
TICK_S: Final = 1.0  #: between two signs of the loop that it lives
REFUSED_S: Final = 300.0  #: a refused spoke that knocks on and on only fills logs


@dataclass(frozen=True, slots=True)
class Caller:
    """Who dials; ``hello`` is asked anew for each link."""

    identity: Identity
    key: Ed25519PrivateKey
    version: str
    hello: Callable[[], SpokeHello]


class LinkEnded(CoordError):
    """``up``: for how many seconds it was welcome. ``pause``: how long to stay away, if told."""

    def __init__(self, why: str, up: float, pause: float | None) -> None:
        self.up = up
        self.pause = pause
        super().__init__(why)


async def keep(caller: Caller, exchange: Exchange) -> None:
    """Be connected whenever that is possible; never returns. A lost link touches no agent."""
    again = AsyncRetrying(wait=_pause, retry=retry_if_exception_type(LinkEnded))
    hubs = Hubs(caller.identity.addresses)
    ticking = asyncio.create_task(_tick(exchange.pulse), name="ticks")
    try:
        await again(_connect, caller, exchange, hubs)
    finally:
        ticking.cancel()
        await asyncio.wait([ticking])


class Hubs:
    """Where to dial: the hubs that we joined, and those that a welcome spoke of."""

    def __init__(self, own: Sequence[Address]) -> None:
        self._own = list(own)
        self._known = list(own)

    @property
    def now(self) -> Address:
        return self._known[0]

    def learn(self, urls: Sequence[str]) -> None:
        """The others, as they are now. The one we are at stays the first."""
        heard = [address(url) for url in urls]
        others = [*self._own, *heard]
        self._known = [self.now, *(to for to in dict.fromkeys(others) if to != self.now)]

    def next(self) -> None:
        """This one is not there, or does not want us now."""
        self._known.append(self._known.pop(0))


async def _tick(pulse: Pulse) -> None:
    while True:
        pulse.tick()
        await asyncio.sleep(TICK_S)


async def _connect(caller: Caller, exchange: Exchange, hubs: Hubs) -> None:
    """One link, from the first knock to its end. Always raises LinkEnded."""
    loop, to = asyncio.get_running_loop(), hubs.now
    began, pause, why = loop.time(), None, "it was closed"
    try:
        proof = await authorization(caller.identity, caller.key, to)
        async with dial(to, proof) as websocket:
            connection = Connection(websocket, exchange, hubs.learn)
            began = loop.time()
            await connection.serve(caller.hello(), caller.identity.name, caller.version, to)
            pause = connection.parted
            if pause is not None:
                hubs.next()
    except (Unauthenticated, PermissionDenied) as refused:
        _log.error("the hub refuses this spoke: %s", refused)
        began, pause, why = loop.time(), REFUSED_S, refused.message
    except CallError as error:
        pause = None if error.retry_after_ms is None else error.retry_after_ms / 1_000
        began, why = loop.time(), str(error)
        hubs.next()
    except OSError as error:
        why = str(error)
        hubs.next()
    raise LinkEnded(why, loop.time() - began, pause)


def _pause(state: RetryCallState) -> float:
    """How long to stay away, in seconds."""
    ended = state.outcome.exception() if state.outcome is not None else None
    told = None
    if isinstance(ended, LinkEnded):
        told = ended.pause
        if ended.up >= STEADY_S:
            state.attempt_number = 1
    seconds = FULL_JITTER(state) if told is None else told
    _log.info("no link to the hub (%s); dialling again in %.1f s", ended, seconds)
    return seconds
