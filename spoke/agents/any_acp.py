"""Any other agent that speaks the Agent Client Protocol: its program is in the order.

Nothing is known of it but what it says of itself, so that nothing is promised for it: what it is
told while it works waits for the end of its turn, and whether it asks before it uses a tool is its
own affair. Its keys are given with the order, for nobody knows which of the spoke's variables are
its. Standard library only, but to plan: a supervisor loads this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spoke.agents.agent import AUTHOR, Plan, Signs
from spoke.agents.profile import Profile

if TYPE_CHECKING:
    from protocol.ops.wire import StartOrder

PROFILE: Final = Profile(
    name="acp", argv=(), env={}, passes=AUTHOR, folds=False, resume=None, needs_author=True
)  # fmt: skip


class AnyAcp:
    program = None
    signs = Signs()

    def plan(self, order: StartOrder, key: str) -> Plan:
        """Raises InvalidArgument: NO_COMMAND, MODEL_UNSUPPORTED."""
        from protocol.errors import InvalidArgument

        if not order.command:
            raise InvalidArgument(
                "NO_COMMAND",
                "the acp agent was given no program",
                advice="coordctl spawn TASK --agent acp --prompt TEXT -- PROGRAM",
            )
        if order.model:
            raise InvalidArgument(
                "MODEL_UNSUPPORTED",
                "nobody knows how that agent is told of a model",
                advice="say it in its arguments or its variables: -- PROGRAM --model NAME",
            )
        id = order.agent_session_id
        argv = [order.command, *order.args]
        return Plan(
            argv, PROFILE.env, "open", PROFILE.passes, PROFILE.name, id, id is not None,
            needs_author=PROFILE.needs_author,
        )  # fmt: skip
