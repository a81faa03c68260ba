"""The first call on a link: versions, and for a spoke what it holds against what we believe."""

from __future__ import annotations

import asyncio
import logging

from pydantic import ValidationError

from hub.bells import HUBS, QUEUE
from hub.core import reconcile
from hub.desk import Desk
from hub.door.peers import Peer
from hub.fleet.connected import Connected
from hub.fleet.reach import PING
from hub.reception import ALIVE_SECONDS, answers
from hub.store.exchange import Greeted
from hub.store.rows.fleet import HolderRow
from hub.store.rows.spokes import HeldRow
from protocol.aio.node import Context, Handler
from protocol.errors import (
    Conflict,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    Unavailable,
)
from protocol.handshake import INITIALIZE, Hello, Limits, SpokeHello, Verdict, Welcome, agree
from protocol.limits import CLOSE_SUPERSEDED, GRACE_SECONDS, MAX_FRAME_BYTES, MAX_IN_FLIGHT
from protocol.ops.catalogue import Role

logger = logging.getLogger(__name__)


def initialize(desk: Desk, version: str) -> Handler:
    """The handler of `initialize`."""

    async def handle(context: Context) -> Welcome:
        peer = desk.links.peer(context.link)
        hello = _read(context)
        agreed = agree(hello.protocol_version, hello.oldest_version)
        if peer.greeted.is_set() or peer.greeting:
            raise FailedPrecondition("GREETED", "this link is initialized already")
        peer.greeting = True
        try:
            epoch, verdicts = await _admit(desk, peer, hello)
            kept, heard = _take_up(desk, peer, hello, context)
        except PermissionDenied as denied:
            who = peer.principal.owner
            await desk.store.access.audit(who, INITIALIZE, None, denied.reason, peer.address)
            raise
        finally:
            peer.greeting = False
        peer.greeted.set()
        return Welcome(
            protocol_version=agreed,
            hub_id=desk.hub_id,
            hub_version=version,
            connection_id=kept.connection_id,
            resume_token=kept.resume_token,
            resumed=kept is not peer,
            heard=heard,
            grace_ms=int(GRACE_SECONDS * 1_000) if kept.resume_token is not None else 0,
            principal=peer.principal.name,
            role=peer.principal.role,
            limits=Limits(max_message_bytes=MAX_FRAME_BYTES, max_in_flight=MAX_IN_FLIGHT),
            heartbeat_ms=int(desk.settings.heartbeat_seconds * 1_000),
            lease_ms=int(desk.settings.lease_seconds * 1_000),
            epoch=epoch,
            verdicts=verdicts,
            hubs=desk.health.others,
        )

    return handle


def _read(context: Context) -> Hello:
    try:
        return Hello.model_validate(context.call.params)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidArgument(
            "BAD_VALUE", f"{field}: {first['msg']}", details={"field": field}
        ) from None


async def _admit(desk: Desk, peer: Peer, hello: Hello) -> tuple[int | None, list[Verdict]]:
    """A spoke's connection has an epoch, and is told what to do with each thing that it holds."""
    is_spoke = peer.principal.role is Role.SPOKE
    if (hello.role == "spoke") != is_spoke or (hello.spoke is not None) != is_spoke:
        raise PermissionDenied("WRONG_KIND", f"a {peer.principal.role} cannot come as that")
    if hello.spoke is None:
        return None, []
    return await _welcome_spoke(desk, peer, hello, hello.spoke)


def _take_up(desk: Desk, peer: Peer, hello: Hello, context: Context) -> tuple[Peer, int]:
    """The connection that this wire carries once it is welcome, and how much of it was heard."""
    if hello.resume is not None and hello.spoke is None:
        return desk.links.peers.take_up(peer, hello.resume, context)
    if hello.resumable and hello.spoke is None:
        desk.links.peers.keep(peer, context)
    return peer, 0


async def _welcome_spoke(
    desk: Desk, peer: Peer, hello: Hello, spoke: SpokeHello
) -> tuple[int, list[Verdict]]:
    if spoke.spoke_id != peer.principal.id:
        raise PermissionDenied("WRONG_SPOKE", "signed by one spoke, said by another")
    moved = await _take_the_place_of_the_old(desk, peer, spoke)
    greeting = asyncio.ensure_future(
        desk.store.exchange.greet(spoke, hello.version, desk.settings.lease_seconds, desk.instance)
    )
    try:
        epoch, verdicts = await _greet(desk, peer, spoke, greeting)
    except BaseException:  # its link is lost already: from now on its lease runs
        greeting.add_done_callback(lambda done: _let_go(desk, spoke.spoke_id, done))
        raise
    if moved:
        desk.bells.ring(HUBS)  # the hub that held it before lets it go
    logger.info("spoke %s is here, epoch %d", peer.principal.name, epoch)
    return epoch, verdicts


async def _greet(
    desk: Desk, peer: Peer, spoke: SpokeHello, greeting: asyncio.Future[Greeted | None]
) -> tuple[int, list[Verdict]]:
    greeted = await asyncio.shield(greeting)
    if greeted is None:
        raise PermissionDenied("SPOKE_REVOKED", f"the spoke {peer.principal.name} was revoked")
    verdicts = await _reconcile(desk, spoke, greeted)
    # What is on its disk was taken, whether or not its answer reached us. Told again, a start
    # would carry a fresh credential, and the agent that runs would be left with a void one.
    await desk.store.outbox.acked(spoke.spoke_id, spoke.last_seq, greeted.epoch)
    peer.spoke = Connected(spoke.spoke_id, peer.link, greeted.epoch)
    _check_newest(desk, peer.spoke)
    # Its first order needs an answer of the database, so it leaves after this welcome.
    desk.spokes.connect(desk.links.node, peer.spoke)
    return greeted.epoch, verdicts


def _let_go(desk: Desk, spoke_id: str, greeting: asyncio.Future[Greeted | None]) -> None:
    """The database believes that we hold a link that never came to be."""
    if greeting.cancelled() or greeting.exception() is not None:
        return
    if (greeted := greeting.result()) is not None:
        desk.spokes.leave(spoke_id, greeted.epoch)


async def _take_the_place_of_the_old(desk: Desk, peer: Peer, spoke: SpokeHello) -> bool:
    """A second daemon with the same identity is refused while the first one answers, wherever
    that is connected. One and the same daemon that comes again has lost its link itself.

    Whether another hub believes to hold it.
    """
    old = desk.spokes.find(spoke.spoke_id)
    holder = await desk.store.fleet.holder(spoke.spoke_id)
    is_same = holder is not None and holder.incarnation == spoke.incarnation
    if not is_same and await _is_alive(desk, spoke.spoke_id, old, holder):
        logger.warning("a second daemon came as %s: refused", peer.principal.name)
        asyncio.get_running_loop().call_later(
            1.0,
            lambda: asyncio.ensure_future(peer.websocket.close(CLOSE_SUPERSEDED, "SPOKE_CLONED")),
        )
        raise Conflict(
            "SPOKE_CLONED",
            f"another daemon is connected as {peer.principal.name}, and it answers",
            advice="stop one of the two; a copied machine joins under its own name",
        )
    if old is not None:
        desk.links.cut(spoke.spoke_id, sparing=peer.link)
    return holder is not None and holder.hub != desk.instance


async def _is_alive(
    desk: Desk, spoke_id: str, old: Connected | None, holder: HolderRow | None
) -> bool:
    if old is not None:
        return await answers(desk, old)
    if holder is None or holder.hub == desk.instance:
        return False
    try:
        said = await desk.reach.ask_hub(holder.hub, spoke_id, PING, {}, within=ALIVE_SECONDS + 1)
    except (Unavailable, DeadlineExceeded):  # that hub does not know it, or has gone as well
        return False
    return said == {"answers": True}


def _check_newest(desk: Desk, spoke: Connected) -> None:
    """Of two that came at the same moment, the one with the newer epoch stays."""
    other = desk.spokes.find(spoke.spoke_id)
    if other is None:
        return
    if other.epoch > spoke.epoch:
        raise Conflict("SPOKE_CLONED", "another daemon came at the same moment under this name")
    desk.links.peer(other.link).websocket.transport.abort()


async def _reconcile(desk: Desk, spoke: SpokeHello, greeted: Greeted) -> list[Verdict]:
    held = [_held(row) for row in greeted.held]
    known = [reconcile.Known(row.session_id, row.current_attempt) for row in greeted.known]
    verdicts, decisions = reconcile.decide(spoke.inventory, held, known, rebooted=greeted.rebooted)
    link = (spoke.spoke_id, greeted.epoch)
    for decision in decisions:
        match decision:
            case reconcile.Found(session_id, attempt):
                await desk.store.exchange.found(session_id, attempt, *link)
            case reconcile.Gone(session_id, attempt, why, seen_dead):
                await desk.store.exchange.give_up(
                    session_id, attempt, why, seen_dead=seen_dead, by=link
                )
        desk.bells.ring(decision.session_id, QUEUE)
    return verdicts


def _held(row: HeldRow) -> reconcile.Held:
    return reconcile.Held(
        session_id=row.session_id,
        attempt=row.attempt,
        current_attempt=row.current_attempt,
        state=row.state,
        aborting=row.desired == "abort",
        stored=row.stored,
        live=row.live,
        accepted=row.accepted,
        given_up=row.given_up,
    )
