"""What doctor says of the agents on a spoke."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from coord.cli.checkup import agents
from protocol.ops.spokes import SpokeView

KEY = "key in its environment"


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ({}, []),
        ({"agents": ["command"]}, []),
        (
            {
                "agents": ["acp", "claude", "command", "gemini", "new"],
                "agentVersions": {"claude": "2.1.329"},
                "agentLogins": {"claude": "key", "gemini": "unseen", "new": "lies"},
            },
            [f"agents: claude 2.1.329 (native; {KEY}), gemini (acp; no login seen), new"],
        ),
        ({"agents": ["codex"], "agentLogins": {"codex": ["key"]}}, ["agents: codex (native)"]),
        ({"agents": "lies", "agentVersions": [], "agentLogins": 1}, []),
    ],
)
def test_agents_are_named_with_what_is_known_of_them(
    detail: dict[str, JsonValue], said: list[str]
) -> None:
    spoke = SpokeView(
        spoke_id="sp_1", name="anvil", state="online", cordoned=False, draining=False, labels={},
        slots=1, live=0, version=None, last_seen_at=None, detail=detail,
    )  # fmt: skip
    assert agents(spoke) == said
