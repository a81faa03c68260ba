"""What an agent is told on its stdin: once each, in order, and what never arrived is known."""

from __future__ import annotations

import asyncio
import json

import pytest

from protocol.errors import Unavailable
from spoke.process import Supervisor
from spoke.spool import Kind
from tests.support.supervised import PATIENCE_S, Case, stop


async def test_a_message_arrives_once(case: Case) -> None:
    line = await case.bash('while read -r text; do echo "got $text"; done')
    assert await line.message("m1", "one") == "delivered"
    assert await line.message("m2", "zwei ü \x00") == "delivered"
    assert await line.message("m1", "one") == "duplicate"
    await case.wait_said("zwei")
    assert case.text() == "got one\ngot zwei ü\n".encode()
    delivered = [json.loads(r.payload) for r in case.records() if r.kind is Kind.DELIVERED]
    assert delivered == [{"messageId": id, "mode": "queue"} for id in ("m1", "m2")]
    stop(line)
    await case.wait_exit()


async def queued(line: Supervisor, letters: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await line.status())["queued"] != letters:
            await asyncio.sleep(0.002)


async def test_a_message_larger_than_the_pipe_does_not_hold_up_the_rest(case: Case) -> None:
    line = await case.bash("echo ready; until [ -e go ]; do :; done; wc -c", greeting="hello")
    big = asyncio.ensure_future(line.message("big", "x" * 1_000_000))
    again = asyncio.ensure_future(line.message("big", "x" * 1_000_000))
    await queued(line, 2)
    await case.wait_said("ready")
    assert not big.done()
    (case.folder / "go").touch()
    assert [await big, await again] == ["delivered", "duplicate"]
    stop(line)
    await case.wait_exit()


async def test_a_message_to_a_closed_stdin_is_undelivered(case: Case) -> None:
    line = await case.bash("exec <&-; echo ready; trap 'exit 0' INT; while :; do sleep 0.01; done")
    await case.wait_said("ready")
    assert await line.message("m1", "hello?") == "closed"
    assert await line.message("m1", "hello?") == "closed"
    assert case.kinds().count(Kind.UNDELIVERED) == 1
    stop(line)
    await case.wait_exit()


async def test_messages_still_queued_when_the_agent_ends_are_undelivered(case: Case) -> None:
    line = await case.bash("echo ready; until [ -e go ]; do :; done")
    big = asyncio.ensure_future(line.message("big", "x" * 1_000_000))
    await queued(line, 1)
    (case.folder / "go").touch()
    assert await big == "closed"
    await case.wait_exit()
    assert case.kinds()[-2:] == [Kind.UNDELIVERED, Kind.EXITED]


async def test_a_greeting_comes_first_and_a_closed_stdin_ends_after_it(case: Case) -> None:
    await case.run("cat", greeting="the task", stdin="closed")
    await case.wait_exit()
    assert case.text() == b"the task\n"
    with pytest.raises(Unavailable, match="SUPERVISOR_GONE"):
        await case.connect()
