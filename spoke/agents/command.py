"""The command agent: any program. The prompt is in a file, messages are lines on its stdin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from protocol.errors import InvalidArgument
from protocol.ops.wire import MessageOrder, StartOrder
from spoke.agents.agent import Mode, Outcome, Plan, Said


class Command:
    def plan(self, order: StartOrder) -> Plan:
        """The program and its arguments as they were given: no shell ever reads them."""
        if not order.command:
            raise InvalidArgument(
                "NO_COMMAND",
                "the command agent was given no command",
                advice="say which program to run: command and args",
            )
        return Plan([order.command, *order.args], {}, order.stdin)

    def tell(self, message: MessageOrder) -> str:
        return message.text

    def effective_mode(self, mode: str) -> Mode:
        """A program has no turns that could be steered or ended."""
        return "queue"

    def read(self, kind: Literal["stdout", "stderr"], line: str) -> Sequence[Said]:
        return ()

    def ended(self, exit_code: int | None, signal: str | None) -> Outcome:
        return "completed" if exit_code == 0 else "failed"
