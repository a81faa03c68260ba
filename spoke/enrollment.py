"""Joining a hub: a join token and a public key go there, an identity comes back."""

from __future__ import annotations

import asyncio
from typing import cast

from protocol.aio.dial import address, dial
from protocol.aio.node import Node
from protocol.aio.wire import WebsocketWire
from protocol.codec import Object
from protocol.handshake import INITIALIZE, Hello
from protocol.limits import INITIALIZE_SECONDS, PROTOCOL_VERSION
from protocol.ops.catalogue import SPOKE_ENROLL
from protocol.ops.spokes import Enrolled, EnrollParams
from protocol.switchboard import LinkId
from protocol.tokens import Join
from spoke import identity
from spoke.identity import Identity
from spoke.inventory import our_version
from spoke.settings import SpokeSettings

_HUB = LinkId("hub")


async def enroll(settings: SpokeSettings, ticket: Join, name: str | None) -> Enrolled:
    """Raises AlreadyExists (ENROLLED), and what dialling the hub and `spoke.enroll` raise."""
    places = settings.places
    identity.check_new(places)
    key = identity.own_key(places)
    params = EnrollParams(
        name=name,
        host=identity.own_name(),
        public_key=identity.public_hex(key),
        labels=settings.labels,
        slots=settings.slots,
    )
    enrolled = await _ask(ticket, params)
    mine = Identity(
        enrolled.spoke_id, enrolled.hub_id, enrolled.name, ticket.url, ticket.pin, ticket.also
    )
    identity.save(places, mine)
    return enrolled


async def _ask(ticket: Join, params: EnrollParams) -> Enrolled:
    to = address(f"{ticket.url}#sha256={ticket.pin}" if ticket.pin else ticket.url)
    async with dial(to, f"Bearer {ticket.token}") as websocket:
        node = Node()
        serving = asyncio.create_task(node.attach(_HUB, WebsocketWire(websocket)), name="link")
        try:
            await asyncio.sleep(0)  # the link exists once its task has taken its first step
            hello = Hello(
                protocol_version=PROTOCOL_VERSION,
                role="client",
                name=params.host,
                version=our_version(),
            )
            said = cast("Object", hello.model_dump(mode="json", by_alias=True, exclude_none=True))
            await node.ask(_HUB, INITIALIZE, said, within=INITIALIZE_SECONDS)
            asked = cast("Object", params.model_dump(mode="json", by_alias=True))
            return Enrolled.model_validate(await node.ask(_HUB, SPOKE_ENROLL.name, asked))
        finally:
            await websocket.close()
            await serving
