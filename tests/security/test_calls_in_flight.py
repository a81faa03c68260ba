"""Answers, ids and cancels: of one's own calls in flight, and of no other."""

from __future__ import annotations

import asyncio
from typing import Any

from hub.app import RunningHub
from protocol.aio import node as nodes
from protocol.limits import MAX_IN_FLIGHT
from tests.security import people
from tests.security.people import Watch
from tests.security.raw import ID, PATIENCE, Raw, call, said


def never(id: str, session: str) -> dict[str, Any]:
    """A call that is in flight until somebody ends it."""
    return call(id, "coord.wait", {"sessionIds": [session]})


def cancel(id: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": id}}


async def until_in_flight(node: nodes.Node, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(node.in_flight()) < count:
            await asyncio.sleep(0)


async def test_f8_three_answers_to_nothing_end_the_link(link: Raw, watch: Watch) -> None:
    for n in range(3):
        await link.say({"jsonrpc": "2.0", "id": f"never-{n}", "result": {}})
    assert await link.close_code() == 4400
    await watch.check()


async def test_f8_an_answer_to_somebody_elses_call_changes_nothing(
    running_hub: RunningHub, link: Raw, watch: Watch, session: str
) -> None:
    node = people.desk_of(running_hub).links.node
    waiting = asyncio.create_task(watch.client.wait(session, timeout_ms=60_000))
    await until_in_flight(node, 1)
    [id] = node.in_flight()
    error = {"code": -32603, "message": "no", "data": {}}
    await link.say({"jsonrpc": "2.0", "id": id, "result": {"reached": True, "sessions": []}})
    await link.say({"jsonrpc": "2.0", "id": id, "error": error})
    assert "result" in await link.ask("coord.status"), "twice is not yet three times"
    assert not waiting.done()
    await watch.client.abort(session)
    assert (await waiting).sessions[0].session_id == session


async def test_f8_of_two_answers_the_first_counts(
    running_hub: RunningHub, link: Raw, watch: Watch
) -> None:
    links_of = people.desk_of(running_hub).links
    [mallory] = [peer.link for peer in links_of.peers if peer.principal.name == "mallory"]
    asking = asyncio.create_task(links_of.node.ask(mallory, "test.question"))
    id = (await link.read())["id"]
    for n in (1, 2):
        await link.say({"jsonrpc": "2.0", "id": id, "result": n})
    assert await asking == 1
    assert "result" in await link.ask("coord.status"), "the second is dropped"


async def test_f8_an_item_of_nothing_is_a_broken_rule_too(link: Raw) -> None:
    item = {"token": "never", "seq": 1, "value": 1}
    for _ in range(3):
        await link.say({"jsonrpc": "2.0", "method": "$/progress", "params": item})
    assert await link.close_code() == 4400


async def test_f9_an_id_in_flight_is_not_used_again(link: Raw, session: str) -> None:
    await link.say(never("a", session))
    await link.say(call("a", "coord.status"))
    twice = await link.read()
    assert twice["id"] is None, "under its id it would answer the call in flight"
    assert said(twice) == ("INVALID_REQUEST", "DUPLICATE_ID")
    assert twice["error"]["data"]["details"] == {"id": "a"}
    await link.say(cancel("a"))
    assert said(await link.read()) == ("CANCELLED", "ABORTED")
    await link.say(call("a", "coord.status"))
    assert "result" in await link.answer("a"), "answered ids are free again"


async def test_f9_a_link_has_so_many_in_flight_and_no_more(
    running_hub: RunningHub, link: Raw, session: str
) -> None:
    for n in range(MAX_IN_FLIGHT):
        await link.say(never(f"w{n}", session))
    busy = await link.ask("coord.status")
    assert said(busy) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert busy["error"]["data"]["retryable"] is True
    assert busy["error"]["data"]["retryAfterMs"] == 100
    await until_in_flight(people.desk_of(running_hub).links.node, MAX_IN_FLIGHT)
    await link.say(cancel("w7"))
    assert (await link.read())["id"] == "w7"
    assert "result" in await link.ask("coord.status"), "one place is free"


async def test_f10_only_ones_own_calls_in_flight_are_cancelled(
    running_hub: RunningHub, link: Raw, watch: Watch, session: str
) -> None:
    """A cancel is not answered, the call is: a second one, or one too late, is nothing."""
    node = people.desk_of(running_hub).links.node
    theirs = asyncio.create_task(watch.client.wait(session, timeout_ms=60_000))
    await until_in_flight(node, 1)
    [id] = node.in_flight()
    finished = (await link.ask("coord.status"))["id"]
    for one in ("never", finished, id, id):
        await link.say(cancel(one))
    await link.say(never("mine", session))
    for _ in range(2):
        await link.say(cancel("mine"))
    assert said(await link.read()) == ("CANCELLED", "ABORTED"), "and nothing before it"
    assert "result" in await link.ask("coord.status")
    assert node.in_flight() == {id}
    await watch.client.abort(session)
    assert (await theirs).reached


async def test_f10_a_cancel_of_nothing_says_so(link: Raw) -> None:
    for id in ({}, {"id": None}, {"id": 7}, {"id": ""}):
        await link.say({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": id})
        assert said(await link.read()) == ID
