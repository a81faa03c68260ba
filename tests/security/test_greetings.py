"""The first words on a link: nothing is done before them, and they are strict."""

from __future__ import annotations

from typing import Any

import pytest

from hub.app import RunningHub
from hub.door import links
from protocol.limits import PROTOCOL_VERSION
from tests.security import people
from tests.security.people import Watch
from tests.security.raw import VALUE, call, entered, said, text


async def test_f11_nothing_before_the_first_call(
    running_hub: RunningHub, bearer: str, session: str
) -> None:
    async with entered(running_hub.url, bearer, greet=False) as raw:
        for method in ("coord.status", "coord.abort", "rpc.discover"):
            refused = await raw.ask(method, {"sessionId": session})
            assert said(refused) == ("FAILED_PRECONDITION", "NOT_INITIALIZED")
        assert "result" in await raw.initialize()
        again = await raw.initialize()
        assert said(again) == ("FAILED_PRECONDITION", "GREETED")
        assert "result" in await raw.ask("coord.status")


async def test_f11_who_does_not_greet_is_not_kept(
    running_hub: RunningHub, bearer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "INITIALIZE_SECONDS", 0.2)
    async with entered(running_hub.url, bearer, greet=False) as raw:
        assert await raw.close_code() == 4401


async def test_f11_a_spoke_that_greets_twice_at_once_is_welcomed_once(
    running_hub: RunningHub, watch: Watch
) -> None:
    one = await people.spoke(running_hub)
    async with entered(running_hub.url, await one.proof(running_hub), greet=False) as raw:
        hello = {"protocolVersion": 1, **one.hello()}
        await raw.send(b"".join(text(call(id, "initialize", hello)) for id in ("a", "b")))
        answers = {answer["id"]: answer for answer in (await raw.read(), await raw.read())}
        assert answers["a"]["result"]["epoch"] == 1
        assert said(answers["b"]) == ("FAILED_PRECONDITION", "GREETED")


async def test_f11_a_newer_version_is_offered_ours(running_hub: RunningHub, bearer: str) -> None:
    async with entered(running_hub.url, bearer, greet=False) as raw:
        assert (await raw.initialize(protocolVersion=999))["result"][
            "protocolVersion"
        ] == PROTOCOL_VERSION


@pytest.mark.parametrize("version", [0, -1])
async def test_f11_a_version_that_is_no_longer_spoken(
    running_hub: RunningHub, bearer: str, version: int
) -> None:
    async with entered(running_hub.url, bearer, greet=False) as raw:
        refused = await raw.initialize(protocolVersion=version)
        assert said(refused) == ("FAILED_PRECONDITION", "VERSION")
        assert refused["error"]["data"]["details"] == {"supported": [1, PROTOCOL_VERSION]}
        assert refused["error"]["data"]["advice"]
        assert said(await raw.ask("coord.status"))[1] == "NOT_INITIALIZED"


async def test_f11_a_greeting_is_strict(running_hub: RunningHub, bearer: str) -> None:
    hellos: dict[str, list[Any]] = {
        "protocolVersion": ["1", True, 1.0, None],
        "role": ["admin", "", None, 1],
        "name": ["a\nb", "", 1],
        "spoke": [[], "x"],
    }
    async with entered(running_hub.url, bearer, greet=False) as raw:
        for field, values in hellos.items():
            for value in values:
                refused = await raw.initialize(**{field: value})
                assert "error" in refused and said(refused) == VALUE, (field, value)
                assert refused["error"]["data"]["details"]["field"] == field
