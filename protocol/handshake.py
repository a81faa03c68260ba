"""The first words on a link: who, which version, and what a returning spoke holds."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, JsonValue, StrictInt

from protocol.codec import encode
from protocol.errors import FailedPrecondition
from protocol.limits import ACK_BYTES, ACK_FRAMES, OLDEST_VERSION, PROTOCOL_VERSION
from protocol.ops.shapes import Attempt, Count, Flag, Labels, Shape, Word
from protocol.ops.wire import InventoryItem
from protocol.sandbox import Sandbox

INITIALIZE: Final = "initialize"
DETAIL_BYTES: Final = 4_096
DETAIL_DEPTH: Final = 8


def _brief(detail: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """It is shown to whoever lists the spokes, with that of all others: none may fill a frame."""
    if len(encode(detail)) > DETAIL_BYTES or _depth(detail) > DETAIL_DEPTH:
        raise ValueError(f"at most {DETAIL_BYTES:,} bytes and {DETAIL_DEPTH} levels")
    return detail


def _depth(value: JsonValue) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inside), default=0)


Detail = Annotated[dict[str, JsonValue], AfterValidator(_brief)]


class SpokeHello(Shape):
    """What a spoke says of itself, and all that it holds."""

    spoke_id: Word
    incarnation: Word  #: new at each start of the daemon
    boot_id: Word  #: new at each boot of the machine
    slots: Annotated[StrictInt, Field(ge=0, le=10_000)]
    labels: Labels = {}
    sandboxes: Annotated[list[Sandbox], Field(max_length=8)] = [
        "off"
    ]  #: that it can hold a session in
    last_seq: Count  #: the last order on its disk
    inventory: Annotated[list[InventoryItem], Field(max_length=4_096)] = []
    detail: Detail = {}


class Resume(Shape):
    """Go on with a connection whose wire was lost, after the ``heard`` frames that we heard."""

    connection_id: Word
    token: Word
    heard: Count


class Hello(Shape):
    """Parameters of `initialize`, the first call on a link, from the side that dialled."""

    protocol_version: StrictInt  #: the newest that it speaks
    oldest_version: StrictInt | None = None  #: and the oldest; None: no other
    resumable: Flag = False  #: keep this connection for a while when its wire is lost
    resume: Resume | None = None
    role: Literal["client", "spoke"]
    name: Word = "coord"
    version: Word = "0"
    spoke: SpokeHello | None = None


class Verdict(Shape):
    """What a spoke shall do with one attempt of its inventory.

    * continue: go on; send records after ``stored``.
    * stop: an abort waits for it; the order follows.
    * superseded: another attempt is current; stop it, save what it has, report nothing.
    * finalize: its end is stored; forget it.
    * quarantine: newer than the database knows; leave it alone, report it (a restored database).
    """

    session_id: Word
    attempt: Attempt
    verdict: Literal["continue", "stop", "superseded", "finalize", "quarantine"]
    stored: Count = 0


class Limits(Shape):
    max_message_bytes: Count
    max_in_flight: Count
    ack_frames: Count = ACK_FRAMES  #: `$/ack` at the latest after so many frames that were heard,
    ack_bytes: Count = ACK_BYTES  #: or so many bytes


class Welcome(Shape):
    """The answer to `initialize`."""

    protocol_version: Count
    hub_id: str
    hub_version: str
    connection_id: str
    resume_token: str | None = None  #: of a resumable connection, the same for all its wires
    resumed: bool = False
    heard: Count = 0  #: frames of a resumed connection that the hub heard
    grace_ms: Count = 0  #: how long it is kept without a wire
    principal: str
    role: str
    limits: Limits
    heartbeat_ms: Count
    lease_ms: Count
    epoch: Count | None = None  #: of a spoke's connection: every write carries it
    verdicts: list[Verdict] = []
    hubs: list[str] = []  #: other hubs of the same database, where they may be reached


def agree(newest: int, oldest: int | None = None) -> int:
    """The newest version that both sides speak, of the range that one offers.

    Who names no oldest is offered ours, and may leave. Raises FailedPrecondition (VERSION).
    """
    agreed = min(newest, PROTOCOL_VERSION)
    if agreed < OLDEST_VERSION or (oldest is not None and agreed < oldest):
        raise FailedPrecondition(
            "VERSION",
            f"nothing from version {oldest or newest} to {newest} is spoken here",
            advice="upgrade the older side: pip install --upgrade coord",
            details={"supported": list(range(OLDEST_VERSION, PROTOCOL_VERSION + 1))},
        )
    return agreed


def check_spoken(agreed: int) -> None:
    """The version that the far side chose is one of ours. Raises FailedPrecondition (VERSION)."""
    agree(agreed, agreed)
