"""Parameters and answers of the operations on spokes, tokens and the hub itself."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StrictInt

from protocol.limits import MAX_MILLISECONDS
from protocol.ops.shapes import Flag, Labels, Line, Milliseconds, Params, Shape, Word

SpokeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Slots = Annotated[StrictInt, Field(ge=0, le=10_000)]
PublicKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SpokeView(Shape):
    spoke_id: str
    name: str
    state: Literal["online", "offline", "revoked"]
    cordoned: bool
    draining: bool
    labels: dict[str, str]
    slots: int
    live: int  #: sessions it holds now
    version: str | None
    last_seen_at: datetime | None
    detail: dict[str, JsonValue]  #: what it says of itself: host, kill method, agents
    sandboxes: list[str] = ["off"]  #: that it can hold a session in


class SpokeListParams(Params):
    spoke: Word | None = None


class SpokeList(Shape):
    spokes: list[SpokeView]
    stale: bool = False  #: the database is away: this is what the hub saw last
    stale_since: datetime | None = None


class CordonParams(Params):
    spoke: Word
    cordoned: Flag = True


class DrainParams(Params):
    """Take no new work; answer when the last session has ended, or when the time is over."""

    spoke: Word
    abort: Flag = False  #: abort what runs there instead of waiting for it
    wait_ms: Milliseconds = 0


class Drained(Shape):
    spoke: SpokeView
    remaining: int


class InviteParams(Params):
    name: SpokeName | None = None
    labels: Labels = {}
    slots: Slots | None = None  #: at most, whatever the spoke says of itself
    ttl_ms: Annotated[StrictInt, Field(ge=1_000, le=86_400_000)] = 900_000


class Invited(Shape):
    join: str
    expires_at: datetime


class RevokeParams(Params):
    spoke: Word
    reason: Line = ""


class Revoked(Shape):
    spoke: SpokeView
    lost: list[str]  #: sessions given up with it


class EnrollParams(Params):
    name: SpokeName | None = None  #: asked for; else the one that the join token fixes, else host
    host: SpokeName  #: what its machine is called
    public_key: PublicKey  #: Ed25519, raw, hex
    labels: Labels = {}
    slots: Slots = 8


class Enrolled(Shape):
    spoke_id: str
    hub_id: str
    name: str


class TokenCreateParams(Params):
    name: Word
    role: Literal["viewer", "operator", "admin"] = "operator"
    ttl_ms: Annotated[StrictInt, Field(ge=1_000, le=MAX_MILLISECONDS)] = 90 * 86_400_000


class TokenCreated(Shape):
    token_id: str
    token: str  #: shown this once
    role: str
    expires_at: datetime


class TokenView(Shape):
    token_id: str
    name: str
    role: str
    prefix: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class TokenList(Shape):
    tokens: list[TokenView]


class TokenRevokeParams(Params):
    token_id: Word


class TicketAnswer(Shape):
    url: str  #: opens the ops page once, within a minute
    expires_at: datetime


class HubView(Shape):
    """One hub of the database that they share."""

    hub: str  #: new at each start of a hub
    url: str
    version: str
    state: Literal["online", "draining"]
    leads: bool  #: it reaps, watches deadlines, tidies
    term: int | None
    spokes: int  #: whose links end there
    started_at: datetime
    seen_at: datetime
    answers: bool  #: it is the one that was asked


class HubList(Shape):
    hubs: list[HubView]
    doubt: str | None = None  #: why nobody is called out of reach just now


class HubDrainParams(Params):
    """Send all links of a hub to the others, and let it take no new ones."""

    hub: Word | None = None  #: the one that is asked
    draining: Flag = True


class Discovery(Shape):
    """An OpenRPC document; `protocol/openrpc.py` says what is in it."""

    openrpc: str
    info: dict[str, JsonValue]
    methods: list[dict[str, JsonValue]]
    components: dict[str, JsonValue]
