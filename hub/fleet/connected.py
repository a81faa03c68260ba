"""A spoke whose link ends here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hub.store.rows.exchange import PlacedRow
from protocol.switchboard import LinkId


@dataclass(slots=True)
class Connected:
    spoke_id: str
    link: LinkId
    epoch: int
    told: int = 0  #: the newest of its orders that it has taken
    at_hand: list[PlacedRow] = field(default_factory=list[PlacedRow])  #: just committed, not told
    # Session tokens of starts that are not told yet. Only their digests are in the database, and
    # another hub, or a later link, may have put another one there: so they go with the link.
    tokens: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    dispatcher: asyncio.Task[None] | None = field(default=None)
