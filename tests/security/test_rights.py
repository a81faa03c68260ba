"""Who may do what, and to which sessions: SECURITY.md "Authorisation", Z1 to Z5 and Z7 to Z9."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import coord
from hub.app import RunningHub
from hub.ops import registry
from hub.ops.table import OPERATIONS
from hub.store import Store
from protocol import ids
from protocol.errors import CallError
from protocol.ops.catalogue import CATALOGUE, Role
from protocol.tokens import read_join
from tests.security import people
from tests.security.people import Watch
from tests.security.raw import Raw, entered, said
from tests.support import rows

# Z1: by operation. Whoever is not named here may not, and an operation must stand here.

V, OP, A, S, P, J = Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.SESSION, Role.SPOKE, Role.JOINING
MAY: dict[str, set[Role]] = {
    "coord.spawn": {OP, A, S},
    "coord.swarm": {OP, A, S},
    "coord.status": {V, OP, A, S},
    "coord.message": {OP, A, S},
    "coord.roles": {V, OP, A, S},
    "coord.questions": {V, OP, A, S},
    "coord.answer": {OP, A, S},
    "coord.abort": {OP, A, S},
    "coord.resume": {OP, A, S},
    "coord.events": {V, OP, A, S},
    "coord.wait": {V, OP, A, S},
    "coord.notify": {OP, A, S},
    "coord.cleanup": {OP, A},
    "coord.recover": {A},
    "trash.list": {OP, A},
    "trash.restore": {OP, A},
    "coord.explain": {V, OP, A, S},
    "spoke.list": {V, OP, A},
    "spoke.cordon": {A},
    "spoke.drain": {A},
    "spoke.invite": {A},
    "spoke.revoke": {A},
    "spoke.enroll": {J},
    "account.list": {V, OP, A},
    "account.open": {OP, A},
    "token.create": {A},
    "token.list": {A},
    "token.revoke": {A},
    "hub.ticket": {V, OP, A},
    "hub.list": {V, OP, A},
    "hub.drain": {A},
    "rpc.discover": {V, OP, A, S, P},
    "session.append": {P},
    "session.saved": {P},
}

FORBIDDEN = ("PERMISSION_DENIED", "FORBIDDEN")
BAD_VALUE = ("INVALID_ARGUMENT", "BAD_VALUE")
NOT_FOUND = ("NOT_FOUND", "SESSION_NOT_FOUND")
NO_QUESTION = ("NOT_FOUND", "NO_QUESTION")  # of a session that may be answered: it asks nothing


@dataclass(frozen=True, slots=True)
class Family:
    """A session with all that it has around it; ``raw`` is its own link."""

    raw: Raw
    own: str
    child: str
    grandchild: str
    parent: str
    sibling: str
    nephew: str
    stranger: str
    nobody: str


@asynccontextmanager
async def family(hub: RunningHub) -> AsyncGenerator[Family]:
    store = people.store_of(hub)
    spoke, _ = await rows.spoke(store)
    parent = await people.queued(store)
    own = await people.queued(store, parent)
    child = await people.queued(store, own)
    sibling = await people.queued(store, parent)
    token = await people.credential(store, spoke, own)
    async with entered(hub.url, f"Bearer {token}") as raw:
        yield Family(
            raw, own, child, await people.queued(store, child), parent, sibling,
            await people.queued(store, sibling), await people.queued(store), ids.new_session(),
        )  # fmt: skip


@asynccontextmanager
async def everybody(hub: RunningHub) -> AsyncGenerator[dict[Role, Raw]]:
    """One link for each role."""
    one = await people.spoke(hub)
    async with AsyncExitStack() as stack:
        found = {P: await stack.enter_async_context(people.online(hub, one))}
        for role in (V, OP, A):
            token = (await people.user(hub, role)).token
            found[role] = await stack.enter_async_context(entered(hub.url, f"Bearer {token}"))
        joining = await people.join_token(hub, "gpu-2")
        found[J] = await stack.enter_async_context(entered(hub.url, f"Bearer {joining}"))
        found[S] = (await stack.enter_async_context(family(hub))).raw
        yield found


def test_z1_the_table_knows_every_operation_and_every_role() -> None:
    assert MAY.keys() == CATALOGUE.keys()
    assert set().union(*MAY.values()) == set(Role)


async def test_z1_every_operation_for_every_role(
    running_hub: RunningHub, watch: Watch, hub_database: str
) -> None:
    """Rights come before parameters: who may not, learns nothing of what they would be."""
    found: dict[str, set[Role]] = {}
    forbidden = 0
    async with everybody(running_hub) as links:
        assert links.keys() == set(Role)
        for name in CATALOGUE:
            found[name] = set()
            for role, link in links.items():
                answer = said(await link.ask(name, {"nonsense": 1}))
                assert answer in (FORBIDDEN, BAD_VALUE), (name, role, answer)
                if answer == BAD_VALUE:
                    found[name].add(role)
                else:
                    forbidden += 1
    assert found == MAY
    assert await people.audited(hub_database, "FORBIDDEN") == forbidden
    rows = await people.select(
        hub_database, "SELECT principal, op, peer FROM coord.audit WHERE outcome = 'FORBIDDEN'"
    )
    assert {row["op"] for row in rows} == CATALOGUE.keys() - {
        name for name, roles in MAY.items() if roles == set(Role)
    }
    assert {row["peer"] for row in rows} == {"127.0.0.1"}


async def test_z1_what_is_discovered_is_what_is_allowed(running_hub: RunningHub) -> None:
    async with everybody(running_hub) as links:
        for role, link in links.items():
            if role is not J:
                told = (await link.ask("rpc.discover"))["result"]["methods"]
                assert {op["name"] for op in told} == {n for n, may in MAY.items() if role in may}


async def test_z1_an_operation_without_a_handler_stops_the_hub(running_hub: RunningHub) -> None:
    desk = people.desk_of(running_hub)
    with pytest.raises(RuntimeError, match=r"coord\.spawn"):
        registry.handlers(desk, [one for one in OPERATIONS if one.name != "coord.spawn"])


# Z3: by session. What a session reaches of its family; the rest is not there for it.

REACH: dict[str, set[str]] = {
    "coord.status sessionId": {"own", "child", "grandchild"},
    "coord.status tree": {"own", "child", "grandchild"},
    "coord.status parent": {"own", "child", "grandchild"},
    "coord.explain sessionId": {"own", "child", "grandchild"},
    "coord.events sessionId": {"own", "child", "grandchild"},
    "coord.notify sessionId": {"own", "child", "grandchild"},
    "coord.wait sessionIds": {"child", "grandchild"},
    "coord.wait below": {"own", "child", "grandchild"},
    "coord.message sessionId": {"parent", "child", "grandchild"},
    "coord.spawn parentSessionId": {"own", "child", "grandchild"},
    "coord.questions sessionId": {"own", "child", "grandchild"},
    "coord.answer sessionId": {"child", "grandchild"},  # not its own: others may decide that
    "coord.abort sessionId": {"child", "grandchild"},
    "coord.resume sessionId": {"child", "grandchild"},  # after their abort: they have ended
}
MORE: dict[str, dict[str, Any]] = {
    "coord.events": {"follow": False},
    "coord.notify": {"text": "x"},
    "coord.wait": {"timeoutMs": 0},
    "coord.message": {"text": "x", "waitMs": 0},
    "coord.answer": {"decision": "allow"},
    "coord.spawn": {"task": "t", "repo": "/r", "command": "c", "until": "queued"},
    "coord.abort": {"wait": False},
    "coord.resume": {"until": "queued"},
}
FAMILY = ("own", "child", "grandchild", "parent", "sibling", "nephew", "stranger", "nobody")


def test_z3_the_table_knows_every_way_to_name_a_session() -> None:
    """A new parameter of a session's operation that names a session must stand there too."""
    named = {
        f"{op.name} {field.alias}"
        for op in CATALOGUE.values()
        if S in op.roles
        for field in op.params.model_fields.values()
        if field.alias is not None
        and ("session" in field.alias.lower() or field.alias in ("tree", "parent", "below"))
    }
    assert named | {"coord.swarm parentSessionId"} == REACH.keys() | {"coord.swarm parentSessionId"}


async def test_z3_a_session_reaches_itself_and_what_is_below_it(
    running_hub: RunningHub, watch: Watch
) -> None:
    reached: dict[str, set[str]] = {}
    away: dict[str, set[str]] = {}
    async with family(running_hub) as all_of_them:
        for way in REACH:
            op, _, field = way.partition(" ")
            reached[way], away[way] = set(), set()
            for who in FAMILY:
                id = getattr(all_of_them, who)
                given = {field: [id] if field == "sessionIds" else id, **MORE.get(op, {})}
                answer = await all_of_them.raw.ask(op, given)
                if "result" in answer or said(answer) == NO_QUESTION:
                    reached[way].add(who)
                else:
                    assert said(answer) in (NOT_FOUND, ("NOT_FOUND", "PARENT_NOT_FOUND")), answer
                    answer["id"] = "any"
                    away[way].add(json.dumps(answer).replace(id, "that one"))
    assert reached == REACH
    assert {way: len(words) for way, words in away.items()} == dict.fromkeys(REACH, 1), (
        "what is out of reach and what does not exist is answered with the same words"
    )


async def test_z3_of_a_swarm_each_is_refused_alike(running_hub: RunningHub) -> None:
    async with family(running_hub) as one:
        for parent in (one.sibling, one.nobody):
            given = {"tasks": ["t"], "repo": "/r", "command": "c", "until": "queued"}
            answer = await one.raw.ask("coord.swarm", {**given, "parentSessionId": parent})
            [result] = answer["result"]["results"]
            assert result["error"]["reason"] == "SESSION_NOT_FOUND"


async def test_z3_lists_and_names_show_what_is_below_and_no_more(running_hub: RunningHub) -> None:
    async with family(running_hub) as one:

        async def shown(params: dict[str, Any]) -> list[str]:
            answer = await one.raw.ask("coord.status", params)
            return [session["sessionId"] for session in answer["result"]["sessions"]]

        assert await shown({}) == [one.child]
        assert await shown({"labels": {}, "limit": 500}) == [one.child]
        assert await shown({"tree": one.own}) == [one.own, one.child, one.grandchild]
        for foreign in (one.sibling, one.parent, one.stranger, one.nobody, "b/ses"):
            assert await shown({"ref": foreign}) == []
        assert set(await shown({"ref": "a task"})) <= {one.own, one.child, one.grandchild}
        assert set(await shown({"ref": "ses_"})) <= {one.own, one.child, one.grandchild}


async def test_z3_one_message_id_tells_nothing_of_another_session(
    running_hub: RunningHub, watch: Watch
) -> None:
    async with family(running_hub) as one:
        await watch.client.message(one.stranger, "x", message_id="m1", wait_ms=0)
        given = {"sessionId": one.child, "text": "x", "messageId": "m1", "waitMs": 0}
        answer = await one.raw.ask("coord.message", given)
        assert said(answer) == ("CONFLICT", "IDEMPOTENCY_CONFLICT")
        assert one.stranger not in json.dumps(answer)


async def test_z3_keys_of_two_callers_are_two_keys(running_hub: RunningHub, watch: Watch) -> None:
    work: dict[str, Any] = {"repo": "/r", "command": "c", "until": "queued"}
    theirs = await watch.client.spawn("t", idempotency_key="k", **work)
    async with family(running_hub) as one:
        given = {"task": "t", **work, "idempotencyKey": "k"}
        ours = (await one.raw.ask("coord.spawn", given))["result"]
        assert ours["created"] is True
        assert ours["sessionId"] != theirs.session_id


async def test_z3_a_session_token_ends_with_its_attempt(running_hub: RunningHub) -> None:
    store = people.store_of(running_hub)
    one = await people.spoke(running_hub)
    async with entered(running_hub.url, await one.proof(running_hub), greet=False) as link:
        epoch = (await link.initialize(**one.hello()))["result"]["epoch"]
        session = await people.queued(store)
        token = await people.credential(store, one.id, session)
        async with entered(running_hub.url, f"Bearer {token}") as agent:
            given = append(epoch, session, [[1, "exited", {"outcome": "completed"}]])
            assert "result" in await link.ask("session.append", given)
            assert await agent.close_code() == 4401
        with pytest.raises(CallError) as caught:
            async with coord.connect(running_hub.url, token):
                pass
        assert caught.value.reason == "UNAUTHENTICATED"


# Z4: what a session may spawn.


async def grant(store: Store, id: str) -> tuple[int, int]:
    found = await store.spawner.grant_of(id)
    return found.depth, found.children


async def spawned(raw: Raw, **more: Any) -> dict[str, Any]:
    given = {"task": "t", "repo": "/r", "command": "c", "until": "queued"}
    return await raw.ask("coord.spawn", {**given, "requires": {"never": "there"}, **more})


QUOTA = ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")


async def test_z4_not_more_children_than_were_granted(
    running_hub: RunningHub, watch: Watch
) -> None:
    async with family(running_hub) as one:
        for _ in range(7):  # it has one
            assert "result" in await spawned(one.raw)
        ninth = await spawned(one.raw)
        assert said(ninth) == QUOTA
        assert ninth["error"]["data"]["retryable"] is False
        assert ninth["error"]["data"]["details"]["limit"] == 8
        swarm = {"tasks": ["a", "b"], "repo": "/r", "command": "c", "until": "queued"}
        both = (await one.raw.ask("coord.swarm", swarm))["result"]
        assert (both["spawned"], both["failed"]) == (0, 2), "nor by a swarm"
        await watch.client.abort(one.child)
        assert "result" in await spawned(one.raw), "those that ended do not count"


async def test_z4_many_at_once_are_not_more(running_hub: RunningHub) -> None:
    async with family(running_hub) as one:
        given = {
            "tasks": [f"t{n}" for n in range(30)], "repo": "/r", "command": "c", "until": "queued",
        }  # fmt: skip
        made = (await one.raw.ask("coord.swarm", given))["result"]
        assert made["spawned"] == 7


async def test_z4_not_deeper_than_was_granted(running_hub: RunningHub) -> None:
    """Whoever of the line asks: three levels below the first are three levels."""
    store = people.store_of(running_hub)
    async with family(running_hub) as one:
        line = [one.own]
        for depth in (2, 1, 0):
            made = await spawned(one.raw, parentSessionId=line[-1], grantDepth=16)
            line.append(made["result"]["sessionId"])
            assert await grant(store, line[-1]) == (depth, 8)
        assert said(await spawned(one.raw, parentSessionId=line[-1])) == QUOTA
        spoke, _ = await rows.spoke(store)
        token = await people.credential(store, spoke, line[-1])
        async with entered(running_hub.url, f"Bearer {token}") as last:
            assert said(await spawned(last)) == QUOTA


async def test_z4_no_larger_grant_than_ones_own(running_hub: RunningHub) -> None:
    store = people.store_of(running_hub)
    async with family(running_hub) as one:
        made = await spawned(one.raw, grantDepth=16, grantChildren=1_000)
        assert await grant(store, made["result"]["sessionId"]) == (2, 8)
        small = await spawned(one.raw, grantDepth=0, grantChildren=1)
        assert await grant(store, small["result"]["sessionId"]) == (0, 1)


# Z5, Z7, Z8: what a spoke may say.


def append(
    epoch: int, session: str, records: list[Any], first: int = 1, attempt: int = 1
) -> dict[str, Any]:
    return {
        "epoch": epoch, "sessionId": session, "attempt": attempt, "first": first,
        "records": records,
    }  # fmt: skip


@asynccontextmanager
async def working(hub: RunningHub) -> AsyncGenerator[tuple[Raw, int, str]]:
    """The link of a spoke, its epoch, and a session that it runs."""
    one = await people.spoke(hub)
    async with entered(hub.url, await one.proof(hub), greet=False) as link:
        epoch = (await link.initialize(**one.hello()))["result"]["epoch"]
        session = await people.queued(people.store_of(hub))
        await people.credential(people.store_of(hub), one.id, session)
        yield link, epoch, session


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
            assert said(answer) == BAD_VALUE
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


def nested(levels: int) -> Any:
    return {"a": nested(levels - 1)} if levels > 1 else {}


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
            assert "error" in answer and said(answer) == BAD_VALUE, (name, answer)
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
            assert "error" in answer and said(answer) == BAD_VALUE, (name, answer)
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


SPOKES: dict[str, dict[str, Any]] = {
    "a billion slots": {"slots": 1_000_000_000},
    "slots below zero": {"slots": -1},
    "10,000 labels": {"labels": {f"l{n}": "" for n in range(1_000)}},
    "65 labels": {"labels": {f"l{n}": "" for n in range(65)}},
    "a label with a newline": {"labels": {"a\nb": "x"}},
    "a label's value with a newline": {"labels": {"a": "x\nlevel=error"}},
    "a label's value with ESC": {"labels": {"a": "\x1b[31m"}},
    "a label that is a number": {"labels": {"a": 1}},
    "a label without an end": {"labels": {"a": "x" * 2_001}},
    "a deep detail": {"detail": nested(9)},
    "a long detail": {"detail": {"a": "x" * 5_000}},
    "orders of the future": {"lastSeq": 1 << 53},
    "an inventory of text": {"inventory": ["x"]},
    "an attempt that is text": {
        "inventory": [{"sessionId": "s", "attempt": "1", "state": "running", "lastRecord": 1}]
    },
    "a record that is true": {
        "inventory": [{"sessionId": "s", "attempt": 1, "state": "running", "lastRecord": True}]
    },
    "5,000 attempts": {
        "inventory": [{"sessionId": "s", "attempt": 1, "state": "running", "lastRecord": 1}] * 4_097
    },
    "an incarnation with NUL": {"incarnation": "a\0"},
}


async def test_z8_what_a_spoke_says_of_itself_is_bounded(
    running_hub: RunningHub, watch: Watch
) -> None:
    one = await people.spoke(running_hub)
    async with entered(running_hub.url, await one.proof(running_hub), greet=False) as link:
        for name, more in SPOKES.items():
            refused = await link.initialize(**one.hello(**more))
            assert "error" in refused, name
            assert said(refused) in (BAD_VALUE, ("PARSE_ERROR", "TOO_MANY_KEYS")), (name, refused)
        html = {"labels": {"a": "<script>alert(1)</script>"}, "detail": nested(8)}
        assert "result" in await link.initialize(**one.hello(**html))
        [shown] = await watch.client.spokes()
        assert shown.labels["a"] == "<script>alert(1)</script>", "text stays text"


async def test_z8_an_invitation_caps_the_slots(running_hub: RunningHub, watch: Watch) -> None:
    join = read_join(await running_hub.join_string("small", slots=2))
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw().hex()
    async with entered(running_hub.url, f"Bearer {join.token}") as raw:
        given = {"host": "h", "publicKey": public, "slots": 10_000}
        made = (await raw.ask("spoke.enroll", given))["result"]
    one = people.Spoke(made["spokeId"], "small", key)
    async with entered(running_hub.url, await one.proof(running_hub), greet=False) as link:
        assert "result" in await link.initialize(**one.hello(slots=10_000))
        assert [(s.name, s.slots) for s in await watch.client.spokes()] == [("small", 2)]


# Z9: guessing ids.


async def test_z9_guessed_ids_are_all_answered_alike(running_hub: RunningHub) -> None:
    async with family(running_hub) as one:
        guesses = [ids.new_session() for _ in range(300)]
        words: set[str] = set()
        for id in [*guesses, one.sibling, one.stranger, one.parent]:
            answer = await one.raw.ask("coord.status", {"sessionId": id})
            answer["id"] = "any"
            words.add(json.dumps(answer).replace(id, "that one"))
    assert len(words) == 1
