"""What agents can mean, whatever their words for it: the events that each tongue translates to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocol.failure import Failure
    from spoke.core.permitting import Kind

    Json = Mapping[str, object]


class Ready(NamedTuple):
    """The conversation is open: it may be prompted."""

    session_id: str
    version: str = ""


class Accepted(NamedTuple):
    """The agent has taken up this message."""

    message_id: str


class Text(NamedTuple):
    """A whole piece of what it says."""

    text: str


class ToolStarted(NamedTuple):
    id: str
    title: str


class ToolEnded(NamedTuple):
    id: str
    ok: bool
    note: str = ""


class Held(NamedTuple):
    """Its provider keeps it waiting. ``until``: ms since 1970, where it is known."""

    reason: str
    until: int | None = None


class GoesOn(NamedTuple):
    """Its provider answers again."""


class Usage(NamedTuple):
    """Tokens since the usage before; the rest as it stands now. None: not known."""

    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float | None = None
    context_used: int | None = None
    context_size: int | None = None
    model: str | None = None


class Compacted(NamedTuple):
    """It shortened its conversation, so that it fits its model."""


class Denied(NamedTuple):
    """It asked whether it may, and was told that it may not."""

    what: str


class Asked(NamedTuple):
    """It asks whether it may, and waits. ``what``: the command, the URL, a title; ``paths`` as it
    said them, nothing where it named none.
    """

    id: str
    kind: Kind
    tool: str
    what: str
    paths: Sequence[str] = ()


class Withdrawn(NamedTuple):
    """It does not wait for the answer to this any more."""

    id: str


class TurnEnded(NamedTuple):
    """``failure`` where the outcome is failed."""

    outcome: Literal["completed", "aborted", "failed"]
    failure: Failure | None = None


class Reply(NamedTuple):
    """A line to be written back to it at once."""

    line: str


Event = (
    Ready | Accepted | Text | ToolStarted | ToolEnded | Held | GoesOn | Usage | Compacted | Denied
    | Asked | Withdrawn | TurnEnded | Reply
)  # fmt: skip

#: What it is told of what it asked. cancel: its turn ends.
Settlement = Literal["allow", "deny", "cancel"]


class Start(NamedTuple):
    """What a tongue is told of its conversation."""

    cwd: str
    agent_session_id: str | None = None
    resume: bool = False
    asks: bool = False  #: whether it may do something is decided here, each time
    model: str | None = None
    instructions: str = ""  #: of its role


#: What becomes of an agent that was not allowed something: it hears why and goes on; it goes on; or
#: its turn ends there.
AfterDenial = Literal["hears", "goes on", "stops"]


class Tongue(Protocol):
    """How one kind of agent speaks. Lines are without their newlines."""

    @property
    def after_denial(self) -> AfterDenial: ...

    def open(self) -> Sequence[str]:
        """The first lines to say; `Ready` or a failed `TurnEnded` comes of them."""
        ...

    def prompt(self, text: str, message_id: str) -> Sequence[str]:
        """Begin a turn; it is idle."""
        ...

    def steer(self, text: str, message_id: str) -> Sequence[str]:
        """Into the turn that runs; nothing where that is not possible now."""
        ...

    def cancel(self) -> Sequence[str]:
        """End the turn that runs; `TurnEnded` comes of it."""
        ...

    def answer(self, id: str, settlement: Settlement, why: str) -> Sequence[str]:
        """To what it `Asked`; ``why`` is for the agent to read."""
        ...

    def read(self, line: str, now: int) -> Sequence[Event]:
        """What a line of its stdout means; ``now`` in ms since 1970."""
        ...


def decode(line: str) -> Json:
    """A line as an object; empty when it is none."""
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return as_object(value)


def encode(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"))


def as_object(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def as_objects(value: object) -> Sequence[Json]:
    return [as_object(one) for one in as_list(value)]


def as_int(value: object) -> int:
    return value if isinstance(value, int) else 0


def as_number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""
