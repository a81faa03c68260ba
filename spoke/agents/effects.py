"""What a conversation asks of the supervisor that carries it out: pure words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Write(NamedTuple):
    """A line for its stdin. ``message_id``: with it the message is delivered, in this mode."""

    line: str
    message_id: str | None = None
    mode: str = "queue"


class Tell(NamedTuple):
    """A record of what happened."""

    body: Mapping[str, object]


class Hangup(NamedTuple):
    """Nothing more will be said to it: close its stdin, so that it ends."""


Effect = Write | Tell | Hangup
