"""What doctor says of the agents on a spoke."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from coord.cli.checkup import agents
from protocol.ops.spokes import SpokeView


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ({}, []),
        ({"agents": ["command"]}, []),
        (
            {"agents": ["claude", "command", "gemini"], "agentVersions": {"claude": "2.1.329"}},
            ["agents: claude 2.1.329, gemini"],
        ),
        ({"agents": "lies", "agentVersions": []}, []),
    ],
)
def test_agents_are_named_with_the_version_that_is_known(
    detail: dict[str, JsonValue], said: list[str]
) -> None:
    spoke = SpokeView(
        spoke_id="sp_1", name="anvil", state="online", cordoned=False, draining=False, labels={},
        slots=1, live=0, version=None, last_seen_at=None, detail=detail,
    )  # fmt: skip
    assert agents(spoke) == said
