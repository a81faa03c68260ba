"""Which sessions a session reaches: itself, what is below it, and nothing that it guesses."""

from __future__ import annotations

import json
from typing import Any

import pytest

import coord
from hub.app import RunningHub
from protocol import ids
from protocol.errors import CallError
from protocol.ops.catalogue import CATALOGUE, Role
from tests.security import people
from tests.security.family import family
from tests.security.people import Watch, append
from tests.security.raw import entered, said

NOT_FOUND = ("NOT_FOUND", "SESSION_NOT_FOUND")
NO_QUESTION = ("NOT_FOUND", "NO_QUESTION")  # of a session that may be answered: it asks nothing

# What a session reaches of its family; the rest is not there for it.
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
        if Role.SESSION in op.roles
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
    one = await people.spoke(running_hub)
    async with entered(running_hub.url, await one.proof(running_hub), greet=False) as link:
        epoch = (await link.initialize(**one.hello()))["result"]["epoch"]
        session = await people.queued(people.store_of(running_hub))
        token = await people.taken(running_hub, link, one.id, session)
        async with entered(running_hub.url, f"Bearer {token}") as agent:
            given = append(epoch, session, [[1, "exited", {"outcome": "completed"}]])
            assert "result" in await link.ask("session.append", given)
            assert await agent.close_code() == 4401
        with pytest.raises(CallError) as caught:
            async with coord.connect(running_hub.url, token):
                pass
        assert caught.value.reason == "UNAUTHENTICATED"


async def test_z9_guessed_ids_are_all_answered_alike(running_hub: RunningHub) -> None:
    async with family(running_hub) as one:
        guesses = [ids.new_session() for _ in range(300)]
        words: set[str] = set()
        for id in [*guesses, one.sibling, one.stranger, one.parent]:
            answer = await one.raw.ask("coord.status", {"sessionId": id})
            answer["id"] = "any"
            words.add(json.dumps(answer).replace(id, "that one"))
    assert len(words) == 1
