"""A failed agent is tried again, moved on, or waits for its account: decided with its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue

from hub.ops import views
from hub.store import Postgres, Store
from hub.store.rows.sessions import ViewRow
from hub.store.spawning import NewSession
from protocol.ops.sessions import SessionView
from protocol.session import Fact, State
from tests.support import rows
from tests.support.rows import new_session
from tests.support.seat import Seat, seat

NO_JITTER = timedelta(0)


def _new(agent: str = "claude", *chain: str, account: str | None = None) -> NewSession:
    new = new_session()
    fallback: list[JsonValue] = [
        {"agent": one, "command": None, "args": ["-m", one]} for one in chain
    ]
    labels = {} if account is None else {"account": account}
    return replace(new, agent=agent, spec={**new.spec, "fallback": fallback}, labels=labels)


async def _row(on: Seat) -> ViewRow:
    return await on.store.sessions.view(on.id)


async def _view(on: Seat) -> SessionView:
    return views.session(await _row(on))


async def _events(on: Seat, kind: str) -> list[dict[str, object]]:
    story = await on.store.sessions.story(on.id)
    found = await on.store.sessions.events(story, on.id, 0, 1_000)
    return [dict(one.body) for one in found if one.kind == kind and isinstance(one.body, dict)]


async def _conversation(on: Seat) -> str | None:
    """What the next attempt would go on with."""
    attempt = await rows.assign(on.store, on.id, on.spoke)
    was = await on.store.outbox.earlier(on.id, attempt)
    assert was is not None
    return was.agent_session_id


async def _waiting(on: Seat) -> set[str]:
    """Who could be placed now."""
    scene = await on.store.outbox.scene(100)
    assert isinstance(scene.waiting, list)
    return {str(one[0]) for one in scene.waiting if isinstance(one, list)}


async def _over(on: Seat, connections: Postgres) -> None:
    """Its account's limit is over now."""
    await connections.pool.execute(
        "UPDATE accounts SET limited_until = now() - interval '1 ms',"
        " limited_at = now() - interval '1 min'"
    )


async def _wake(store: Store, jitter: timedelta = NO_JITTER) -> list[str]:
    woken: list[str] = []
    for row in await store.policy.due():
        woken += await store.policy.wake(row.account, row.limited_until, jitter)
    return woken


async def test_an_exhausted_context_is_tried_once_more_in_a_new_conversation(store: Store) -> None:
    on = await seat(store, _new())
    await on.agent("opened", agentSessionId="full")
    await on.fails("contextExhausted", "Prompt is too long")
    view = await _view(on)
    assert view.state is State.QUEUED
    assert (
        view.reason == "contextExhausted: tried again in a new conversation, with a handoff brief"
    )
    [_, told] = await _events(on, "queued")
    assert told["policy"] == "fresh"
    assert await _conversation(on) is None

    again = await replace(on, attempt=2, next=1).running()
    await again.agent("opened", agentSessionId="fresh")
    await again.fails("authFailed", "wrong key")
    view = await _view(again)
    assert (view.state, view.reason) == (State.FAILED, "authFailed")
    assert [(one.attempt, one.kind, one.action) for one in view.failures] == [
        (1, "contextExhausted", "fresh"), (2, "authFailed", "stop"),
    ]  # fmt: skip
    assert view.agent_state is not None
    assert view.agent_state.failure is not None
    assert view.agent_state.failure.message == "wrong key"


async def test_the_second_time_it_has_failed(store: Store) -> None:
    on = await seat(store, _new())
    await on.fails("contextExhausted")
    on = await on.placed_again()
    await on.fails("contextExhausted")
    assert (await _view(on)).state is State.FAILED


async def test_our_own_outages_cost_no_try(store: Store) -> None:
    """Its spoke is lost, its order refused, its worker replaced: none is a failure of its agent."""
    on = await seat(store, _new())
    await store.sessions.tell(on.id, Fact.CONTACT_LOST, "gone", {})
    await store.exchange.give_up(on.id, on.attempt, "too long")
    assert await store.resuming.resume(on.id, None, "resumed", lost=False) == "ok"
    on = await on.placed_again()
    await on.exits(outcome="lost", reason="REBOOTED")
    assert await store.resuming.resume(on.id, None, "resumed", lost=False) == "ok"
    on = await on.placed_again()
    await on.fails("contextExhausted")
    assert (await _view(on)).state is State.QUEUED
    on = await on.placed_again()
    await store.sessions.tell(on.id, Fact.CONTACT_LOST, "gone", {})
    await store.sessions.tell(on.id, Fact.FOUND, None, {})
    view = await _view(on)
    assert [one.kind for one in view.failures] == ["contextExhausted"]


async def test_a_person_who_starts_it_again_gives_it_its_tries_back(store: Store) -> None:
    on = await seat(store, _new())
    await on.fails("contextExhausted")
    on = await on.placed_again()
    await on.fails("contextExhausted")
    assert await store.resuming.resume(on.id, None, "resumed", lost=False) == "ok"
    on = await on.placed_again()
    assert (await _view(on)).failures == []
    await on.fails("contextExhausted")
    assert (await _view(on)).state is State.QUEUED


async def test_what_was_said_and_not_heard_is_said_to_the_next_attempt(store: Store) -> None:
    on = await seat(store, _new())
    await store.sessions.say(on.id, "msg_1", "also this", "queue", None)
    await store.sessions.say(on.id, "msg_2", "and that", "queue", None)
    await on.append(rows.record("delivered", messageId="msg_1"))
    await on.append(rows.record("undelivered", messageId="msg_2", reason="over"))
    await on.fails("rateLimited")
    states = {}
    for id in ("msg_1", "msg_2"):
        row = await store.sessions.message(id)
        assert row is not None
        states[id] = row.state
    assert states == {"msg_1": "delivered", "msg_2": "queued"}


async def test_all_of_an_account_wait_for_its_reset_on_all_spokes(
    store: Store, connections: Postgres
) -> None:
    on, other = await seat(store, _new()), await seat(store, _new())
    queued = (await rows.spawn(store, _new())).session_id
    elsewhere = (await rows.spawn(store, _new("codex"))).session_id
    mine = (await rows.spawn(store, _new(account="mine"))).session_id
    reset = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=5)
    await on.agent("opened", agentSessionId="one")
    await on.fails("rateLimited", "five_hour", int(reset.timestamp() * 1_000))
    view = await _view(on)
    assert (view.state, view.account, view.limited_until) == (State.QUEUED, "claude", reset)
    assert (await store.sessions.view(queued)).limited_until == reset
    assert await _waiting(on) == {elsewhere, mine}
    assert (await _view(other)).state is State.RUNNING, "it works, and is not interrupted"
    await other.fails("rateLimited", "five_hour")
    assert (await _view(other)).limited_until == reset
    assert await _wake(store) == []

    await _over(on, connections)
    assert set(await _wake(store)) == {on.id, other.id, queued}
    assert await _wake(store) == []
    assert await _waiting(on) == {on.id, other.id, queued, elsewhere, mine}
    assert len(await _events(on, "woken")) == 1
    assert await _conversation(on) == "one"


async def test_who_is_woken_twice_by_two_leaders_is_told_once(
    store: Store, connections: Postgres
) -> None:
    on = await seat(store, _new())
    await on.fails("rateLimited")
    await _over(on, connections)
    [row] = await store.policy.due()
    for _ in range(2):
        await store.policy.wake(row.account, row.limited_until, timedelta(hours=1))
    assert len(await _events(on, "woken")) == 1
    assert await _waiting(on) == set(), "not before its own moment"


async def test_a_limit_that_came_meanwhile_is_not_opened(
    store: Store, connections: Postgres
) -> None:
    on, other = await seat(store, _new()), await seat(store, _new())
    await on.fails("rateLimited")
    await _over(on, connections)
    [row] = await store.policy.due()
    await other.fails("rateLimited")
    await store.policy.wake(row.account, row.limited_until, NO_JITTER)
    assert (await _view(other)).limited_until is not None
    assert await _waiting(on) == set()


async def test_a_chain_is_gone_along_with_new_conversations(store: Store) -> None:
    on = await seat(store, _new("claude", "codex", "gemini"))
    await on.agent("opened", agentSessionId="one")
    await on.agent("usage", tokensIn=5, tokensOut=5)
    await on.fails("rateLimited")
    view = await _view(on)
    assert (view.state, view.agent, view.limited_until) == (State.QUEUED, "codex", None)
    assert view.agent_state is not None
    assert view.agent_state.usage is None
    assert await _conversation(on) is None
    [order] = [
        row for row in await store.outbox.pending(on.spoke, 0, 100)
        if row.kind == "start" and row.attempt == 2
    ]  # fmt: skip
    assert order.agent == "codex"
    assert isinstance(order.spec, dict)
    assert order.spec["args"] == ["-m", "codex"]
    assert order.spec["command"] is None


@pytest.mark.parametrize("policy", [{"action": "wait", "why": "x"}, "fresh", None])
async def test_a_spoke_does_not_decide(store: Store, policy: JsonValue) -> None:
    on = await seat(store, _new())
    await on.exits(outcome="failed", reason="x", policy=policy)
    assert (await _view(on)).state is State.FAILED


async def test_a_failure_of_an_older_kind_of_word_stops(store: Store) -> None:
    on = await seat(store, _new())
    await on.fails("somethingNew")
    assert (await _view(on)).state is State.FAILED


async def test_an_abort_is_stronger(store: Store) -> None:
    on = await seat(store, _new())
    await store.sessions.abort(on.id, "ab_1", "test", {"reason": "r"}, upgrade=False)
    await on.fails("contextExhausted")
    assert (await _view(on)).state is State.FAILED


async def test_a_parked_session_is_aborted_like_any_that_is_queued(store: Store) -> None:
    on = await seat(store, _new())
    await on.fails("rateLimited")
    await store.sessions.abort(on.id, "ab_1", "test", {"reason": "r"}, upgrade=False)
    view = await _view(on)
    assert (view.state, view.limited_until) == (State.ABORTED, None)


async def test_a_handoff_knows_what_was_said(store: Store) -> None:
    on = await seat(store, _new())
    await store.sessions.say(on.id, "msg_1", "use the old API", "queue", None)
    await on.append(rows.record("delivered", messageId="msg_1"))
    for n in range(5):
        await on.agent("text", text=f"step {n}")
    await on.fails("contextExhausted", "too long")
    known = await store.policy.handoff(on.id)
    assert known is not None
    assert (known.failed, known.told) == ("too long", ["use the old API"])
    assert known.said == ["step 4", "step 3", "step 2"]
