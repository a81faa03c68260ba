"""A client of version 1, recorded: what it says is answered as it was, whatever is added later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hub.app import RunningHub
from protocol.limits import PROTOCOL_VERSION
from tests.security import people
from tests.security.raw import entered, said

RECORDED = Path(__file__).parents[1] / "golden" / "clients" / "version_1.jsonl"


async def test_a_recorded_client_of_version_1_is_answered_as_ever(running_hub: RunningHub) -> None:
    """Each answer has all that it had; fields may have been added. `$session` is the first id."""
    token = (await people.user(running_hub, "operator", "old")).token
    known: dict[str, Any] = {}
    async with entered(running_hub.url, f"Bearer {token}", greet=False) as raw:
        for number, line in enumerate(RECORDED.read_text().splitlines(), 1):
            step = json.loads(line)
            if "say" in step:
                await raw.say(filled(step["say"], known))
            else:
                heard = await raw.read()
                missing = lacks(heard, step["hear"], known)
                assert not missing, f"line {number}: {missing} in {heard}"


def filled(value: Any, known: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: filled(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, known) for item in value]
    return known.get(value, value) if isinstance(value, str) else value


def lacks(heard: Any, recorded: Any, known: dict[str, Any]) -> str:
    """Where it is less than what was recorded; empty where it is not."""
    if isinstance(recorded, str) and recorded.startswith("$") and "/" not in recorded:
        known.setdefault(recorded, heard)
        return "" if known[recorded] == heard else f"{heard!r} for {known[recorded]!r}"
    if isinstance(recorded, dict):
        if not isinstance(heard, dict):
            return f"{heard!r} for an object"
        for key, item in recorded.items():
            if key not in heard or (below := lacks(heard[key], item, known)):
                return f"{key}: {below if key in heard else 'nothing'}"
        return ""
    if isinstance(recorded, list) and isinstance(heard, list) and len(heard) == len(recorded):
        below = (lacks(one, other, known) for one, other in zip(heard, recorded, strict=True))
        return next((one for one in below if one), "")
    return "" if heard == recorded else f"{heard!r} for {recorded!r}"


@pytest.mark.parametrize(
    ("offered", "spoken"),
    [(1, 1), (PROTOCOL_VERSION + 1, PROTOCOL_VERSION), (999, PROTOCOL_VERSION), (0, None)],
)
async def test_versions_meet_or_part_with_a_word(
    running_hub: RunningHub, offered: int, spoken: int | None
) -> None:
    token = await running_hub.admin_token("other")
    async with entered(running_hub.url, f"Bearer {token}", greet=False) as raw:
        answer = await raw.initialize(protocolVersion=offered, newInALaterVersion=1)
        if spoken is None:
            assert said(answer) == ("FAILED_PRECONDITION", "VERSION")
        else:
            assert answer["result"]["protocolVersion"] == spoken
            assert "result" in await raw.ask("coord.status", {"limit": 1})
