"""The socket that agents plug into: what to start, how to speak to it, what its words mean. Pure.

An adapter decides and does nothing itself: the supervisor starts, writes and reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from protocol.ops.wire import MessageOrder, StartOrder
from protocol.session import Activity

Mode = Literal["queue", "steer", "interrupt"]
Outcome = Literal["completed", "blocked", "failed"]


@dataclass(frozen=True, slots=True)
class Plan:
    """``env`` goes on top of what every agent gets. ``greeting`` is the first line of stdin."""

    argv: Sequence[str]
    env: Mapping[str, str]
    stdin: Literal["open", "closed"]
    greeting: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A line of its output means that the agent is now busy, idle, waiting or held back."""

    activity: Activity
    reason: str = ""


class Agent(Protocol):
    def plan(self, order: StartOrder) -> Plan:
        """What to start. Raises InvalidArgument when the order does not say enough."""
        ...

    def tell(self, message: MessageOrder) -> str:
        """The line for its stdin; the newline is added."""
        ...

    def effective_mode(self, mode: str) -> Mode:
        """What asking for ``mode`` comes to with this agent."""
        ...

    def read(self, kind: Literal["stdout", "stderr"], line: str) -> Sequence[Said]:
        """What a line of its output means."""
        ...

    def ended(self, exit_code: int | None, signal: str | None) -> Outcome:
        """What ending by itself like this means."""
        ...
