"""The command agent: any program. The prompt is in a file, messages are lines on its stdin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.errors import InvalidArgument
from spoke.agents.agent import Plan, Signs

if TYPE_CHECKING:
    from protocol.ops.wire import StartOrder


class Command:
    program = None
    signs = Signs()

    def plan(self, order: StartOrder, key: str) -> Plan:
        """The program and its arguments as they were given: no shell ever reads them."""
        if not order.command:
            raise InvalidArgument(
                "NO_COMMAND",
                "the command agent was given no command",
                advice="say which program to run: command and args",
            )
        return Plan([order.command, *order.args], {}, order.stdin)
