"""What a spoke says of sessions: of its own alone, in the right shape, and once said it stays."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import coord
from hub.app import RunningHub
from protocol import ids
from tests.security import people
from tests.security.people import Watch, append, working
from tests.security.raw import VALUE, nested, said
from tests.support import rows


async def test_z5_a_spoke_writes_to_what_it_was_given_alone(
    running_hub: RunningHub, watch: Watch
) -> None:
    store = people.store_of(running_hub)
    other, at = await rows.spoke(store)
    theirs = await people.queued(store)
    await rows.run(store, other, at.epoch, theirs)
    exited = [[1, "exited", {"outcome": "failed"}]]
    async with working(running_hub) as (link, epoch, _):
        for session in (theirs, ids.new_session()):
            for first in (1, 3):
                answer = await link.ask("session.append", append(epoch, session, exited, first))
                assert answer["result"] == {"verdict": "superseded", "stored": 0}
    assert (await store.sessions.view(theirs)).state == "running"


async def test_z5_a_spoke_speaks_of_the_messages_of_its_own_sessions(
    running_hub: RunningHub, watch: Watch
) -> None:
    theirs = await people.queued(people.store_of(running_hub))
    told = await watch.client.message(theirs, "x", wait_ms=0)
    async with working(running_hub) as (link, epoch, session):
        for kind in ("delivered", "undelivered"):
            said_of_it = [[1, kind, {"messageId": told.message_id}]]
            answer = await link.ask("session.append", append(epoch, session, said_of_it))
            assert said(answer) == VALUE
    row = await people.store_of(running_hub).sessions.message(told.message_id)
    assert row is not None and row.state == "queued"


async def test_z5_what_a_spoke_answers_is_not_believed_before_it_is_read(
    running_hub: RunningHub, watch: Watch
) -> None:
    """Junk instead of an answer: it is told again, and nobody else waits for it."""
    one = await people.spoke(running_hub)
    async with people.online(running_hub, one) as link:
        spawn: dict[str, Any] = {"repo": "/r", "command": "c", "spoke": one.name}
        first = await watch.client.spawn("t", until="queued", **spawn)
        answers: list[Any] = [None, [], {"accepted": "1"}, {"accepted": -1}, {"accepted": 1 << 53}]
        for junk in answers:
            order = await link.read()
            assert order["method"] == "spoke.orders"
            await link.say({"jsonrpc": "2.0", "id": order["id"], "result": junk})
            await watch.client.abort(first.session_id, wait=False)  # one more order: it is told on
            await watch.client.abort(first.session_id, wait=False, now=True)
        order = await link.read()
        last = order["params"]["orders"][-1]["seq"]
        await link.say({"jsonrpc": "2.0", "id": order["id"], "result": {"accepted": last}})
        assert "result" in await link.ask("rpc.discover")


async def test_z7_what_was_said_stays_said(running_hub: RunningHub, watch: Watch) -> None:
    async with working(running_hub) as (link, epoch, session):

        async def say(records: list[Any], first: int) -> dict[str, Any]:
            result: dict[str, Any] = (
                await link.ask("session.append", append(epoch, session, records, first))
            )["result"]
            return result

        lines = [[n, "stdout", f"{n}"] for n in range(1, 4)]
        for _ in range(2):
            assert await say(lines, 1) == {"verdict": "ok", "stored": 3}
        assert await say([[9, "stdout", "changed"]], 2) == {"verdict": "ok", "stored": 3}
        assert await say([[9, "stdout", "gap"]], 5) == {"verdict": "ok", "stored": 3}
        assert await say([[9, "stdout", "3"], [9, "stdout", "4"]], 3) == {
            "verdict": "ok", "stored": 4,
        }  # fmt: skip
        done = [[9, "exited", {"outcome": "completed", "exitCode": 0}]]
        for _ in range(2):
            assert (await say(done, 5))["stored"] == 5
        after = await say([[9, "exited", {"outcome": "failed", "exitCode": 9}]], 6)
        assert after == {"verdict": "superseded", "stored": 5}
    events = [e async for e in watch.client.events(session, follow=False)]
    assert [e.body.get("text") for e in events if e.kind == "stdout"] == ["1", "2", "3", "4"]
    shown = (await watch.client.status(session)).sessions[0]
    assert (shown.state, shown.exit_code) == ("completed", 0)


LONG = 600 * 1_024
RECORDS: dict[str, Any] = {
    "no record": 7,
    "nothing": [],
    "two of three": [1, "stdout"],
    "four of three": [1, "stdout", "x", 1],
    "text for a time": ["1", "stdout", "x"],
    "true for a time": [True, "stdout", "x"],
    "1.0 for a time": [1.0, "stdout", "x"],
    "a time before 1970": [-1, "stdout", "x"],
    "a time after the year 9999": [253_402_300_800_000, "stdout", "x"],
    "a kind that is none": [1, "aborted", {}],
    "a kind of the hub's own": [1, "message", {}],
    "a list for a kind": [1, ["stdout"], {}],
    "a number for a body": [1, "stdout", 7],
    "a list for a body": [1, "running", []],
    "text where a map is wanted": [1, "exited", "completed"],
    "17 levels": [1, "noted", nested(17)],
    "60 levels": [1, "noted", nested(58)],
    "too long a line": [1, "stdout", "x" * LONG],
    "too long in parts": [1, "noted", {"a": ["x" * 1_000] * 600}],
    "an exit code that is none": [1, "exited", {"outcome": "completed", "exitCode": "zero"}],
    "an exit code of 64 bits": [1, "exited", {"outcome": "completed", "exitCode": 1 << 52}],
}


async def test_z7_a_record_is_strict(running_hub: RunningHub, watch: Watch) -> None:
    async with working(running_hub) as (link, epoch, session):
        await link.ask("session.append", append(epoch, session, [[1, "running", {}]]))
        for name, record in RECORDS.items():
            answer = await link.ask("session.append", append(epoch, session, [record], 2))
            assert "error" in answer and said(answer) == VALUE, (name, answer)
        good = [[1, "noted", nested(16)], [1, "stdout", "a\0b"], [1, "noted", {"a": 1.5}]]
        answer = await link.ask("session.append", append(epoch, session, good, 2))
        assert answer["result"] == {"verdict": "ok", "stored": 4}
        infinite = '[[1,"noted",{"a":1e400,"b":[-1e999]}]]'
        given = json.dumps(append(epoch, session, [], 5)).replace("[]", infinite)
        await link.say(f'{{"jsonrpc":"2.0","id":"i","method":"session.append","params":{given}}}')
        assert (await link.answer("i"))["result"]["stored"] == 5
    events = [e async for e in watch.client.events(session, follow=False)]
    assert events[-1].body == {"a": None, "b": [None]}
    assert events[-4].body == nested(16), "the deepest is still read by a client"


async def test_z7_the_largest_records_are_still_read(running_hub: RunningHub, watch: Watch) -> None:
    """What is stored is what somebody must be able to read: live, and from the database."""
    async with working(running_hub) as (link, epoch, session):
        await link.ask("session.append", append(epoch, session, [[1, "running", {}]]))
        live = asyncio.create_task(read_lines(watch.client, session, 2_302))
        desk = people.desk_of(running_hub)
        while session not in desk.feed._readers:
            await asyncio.sleep(0)
        texts = ["\u0001" * 80_000, "\u20ac" * 150_000, *["\u0001" * 500] * 300]
        first = 2
        for batch in ([texts[0]], [texts[1]], texts[2:], *[["y" * 1_000] * 1_000] * 2):
            records = [[1, "stdout", text] for text in batch]
            answer = await link.ask("session.append", append(epoch, session, records, first))
            first += len(batch)
            assert answer["result"]["stored"] == first - 1, answer
        nest = [[1, "noted", {"a": ["z" * 900] * 400}]]
        for n in range(3):
            assert "result" in await link.ask(
                "session.append", append(epoch, session, nest, first + n)
            )
        assert await live == await read_lines(watch.client, session, 2_302)
        count = sum([1 async for e in watch.client.events(session, follow=False)
                     if e.kind == "noted"])  # fmt: skip
        assert count == 3


async def read_lines(client: coord.Hub, session: str, count: int) -> list[object]:
    found: list[object] = []
    async for event in client.events(session):
        if event.kind == "stdout":
            found.append(event.body["text"])
            if len(found) == count:
                break
    return found


NUMBERS: list[dict[str, Any]] = [
    {"epoch": -1}, {"epoch": "1"}, {"epoch": 1 << 53}, {"attempt": -1}, {"attempt": 1 << 31},
    {"attempt": 1.0}, {"first": 0}, {"first": -1}, {"first": 1 << 63}, {"first": "1"},
    {"records": {}}, {"records": [[1, "stdout", "x"]] * 1_025}, {"sessionId": ""},
    {"sessionId": "a\nb"},
]  # fmt: skip


async def test_z7_numbers_of_a_spoke_are_strict(running_hub: RunningHub, watch: Watch) -> None:
    async with working(running_hub) as (link, epoch, session):
        for change in NUMBERS:
            [name] = change
            answer = await link.ask("session.append", {**append(epoch, session, []), **change})
            assert "error" in answer and said(answer) == VALUE, (name, answer)
            assert answer["error"]["data"]["details"]["field"].startswith(name)


async def test_z7_a_lie_about_an_end_does_not_spoil_the_receipt(
    running_hub: RunningHub, watch: Watch
) -> None:
    lies: list[Any] = ["soon", 1e300, -1e300, True, None, {}]
    for ended_at in lies:
        body = {"outcome": "aborted", "endedAt": ended_at, "ended": "x", "endedBy": 7}
        async with working(running_hub) as (link, epoch, session):
            await watch.client.abort(session, wait=False)
            answer = await link.ask("session.append", append(epoch, session, [[1, "exited", body]]))
            assert answer["result"]["stored"] == 1
            receipt = await watch.client.abort(session)
            assert receipt.sessions[0].ended_at is not None
        await watch.client.call("spoke.revoke", {"spoke": "gpu-1"})
