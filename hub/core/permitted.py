"""By which rules a session is held: its own, and below a session those of that as well. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pydantic import JsonValue

from protocol.agents import ABILITIES
from protocol.errors import FailedPrecondition
from protocol.ops.questions import Permissions
from protocol.ops.spawning import Work
from protocol.sandbox import Sandbox


def layer(said: Permissions | None) -> list[JsonValue]:
    """As it is ordered; nothing where everything is allowed."""
    if said is None or (said.default == "allow" and not said.rules):
        return []
    return [said.model_dump(mode="json", by_alias=True)]


def check_asks(params: Work, layers: Sequence[JsonValue]) -> None:
    """Also of the agents that it falls back on.

    Raises FailedPrecondition (PERMISSIONS_UNSUPPORTED): nobody can hold it to them.
    """
    agents = [params.agent, *(one.agent for one in params.fallback)]
    agent = next((one for one in agents if one not in ABILITIES or not ABILITIES[one].asks), None)
    if layers and agent is not None:
        able = ", ".join(name for name, one in ABILITIES.items() if one.asks)
        raise FailedPrecondition(
            "PERMISSIONS_UNSUPPORTED",
            f"the {agent} agent cannot be asked before it does something",
            advice=f"choose an agent that asks ({able}), or give no permissions",
        )


def check_holds(spoke: str, sandboxes: Collection[str] | None, wanted: Sandbox) -> None:
    """``sandboxes``: what the spoke said when it came last; None: it may say something else.

    Raises FailedPrecondition (SANDBOX_UNAVAILABLE).
    """
    if sandboxes is None or wanted in sandboxes:
        return
    raise FailedPrecondition(
        "SANDBOX_UNAVAILABLE",
        f"{spoke} cannot hold a session in the sandbox {wanted}",
        advice="leave the spoke to the hub, or choose one that can: coordctl spoke list -o wide",
    )


def check_within(above: Sequence[JsonValue], params: Work) -> None:
    """A session that is held by rules does not start a child whose agent slips out of them.

    Raises FailedPrecondition (NOT_WITHIN_PERMISSIONS).
    """
    said = [name for name in ("command", "args", "env") if getattr(params, name)]
    said += ["fallback"] if any(one.command or one.args for one in params.fallback) else []
    if above and said:
        raise FailedPrecondition(
            "NOT_WITHIN_PERMISSIONS",
            f"a session with permissions starts its children without {', '.join(said)}",
            advice="leave that out; a role may set a model and variables",
        )
