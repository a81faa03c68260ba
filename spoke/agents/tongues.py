"""The tongue of an agent by the name in the assignment; loads the one that is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spoke.agents.tongue import Start, Tongue


def tongue(name: str, start: Start) -> Tongue:
    """Raises KeyError for a name that is not one."""
    match name:
        case "acp":
            from spoke.agents import acp, any_acp

            return acp.AcpTongue(any_acp.PROFILE, start)
        case "claude":
            from spoke.agents.claude import ClaudeTongue

            return ClaudeTongue(start)
        case "codex":
            from spoke.agents.codex import CodexTongue

            return CodexTongue(start)
        case "gemini":
            from spoke.agents import acp, gemini

            return acp.AcpTongue(gemini.PROFILE, start)
        case "opencode":
            from spoke.agents.opencode import OpencodeTongue

            return OpencodeTongue(start)
        case _:
            raise KeyError(name)
