"""What an operation has at hand, and what it knows of the one who asks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from hub.bells import Bells
from hub.core.rights import Principal
from hub.core.roles import Roles
from hub.feed import Feed
from hub.fleet.reach import Reach
from hub.fleet.spokes import Spokes
from hub.health import Health
from hub.memory import Memory
from hub.outlook import Outlook
from hub.settings import HubSettings
from hub.store import Store
from protocol.aio.dial import Address
from protocol.errors import NotFound
from protocol.ops.catalogue import Role

if TYPE_CHECKING:
    from hub.door.links import Links
    from protocol.aio.node import Context

P_co = TypeVar("P_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Desk:
    settings: HubSettings
    hub_id: str  #: the same for all hubs of a database
    instance: str  #: this one, since its start
    address: Address  #: how spokes reach us
    http_url: str
    store: Store
    bells: Bells
    feed: Feed
    spokes: Spokes
    links: Links
    reach: Reach
    health: Health
    roles: Roles
    memory: Memory
    outlook: Outlook = field(default_factory=Outlook)
    #: Calls with a key that this hub runs: set when they are over. By owner and key.
    running: dict[tuple[str, str], asyncio.Event] = field(
        default_factory=dict[tuple[str, str], asyncio.Event]
    )


@dataclass(frozen=True, slots=True)
class Asked(Generic[P_co]):
    """One call: who asks, from where, what, and the way to nested calls and items."""

    principal: Principal
    address: str
    params: P_co
    context: Context


async def check_reach(desk: Desk, principal: Principal, session_id: str, *, own: bool) -> None:
    """A session reaches what is below it, and itself only where ``own`` says so.

    Raises NotFound: what is out of reach is not told apart from what does not exist.
    """
    if principal.role is not Role.SESSION:
        return
    top = principal.session_id or ""
    if session_id == top and own:
        return
    if session_id == top or not await desk.store.sessions.is_below(session_id, top):
        raise NotFound("SESSION_NOT_FOUND", f"no session {session_id[:64]!r} within your reach")
