"""What an agent asks is answered once, while it waits for it, and by whoever was first."""

from __future__ import annotations

import asyncio

from hub.store import Postgres, Store
from tests.support.seat import Seat, seat


async def _asks(on: Seat, number: int = 1) -> None:
    await on.agent(
        "asked", question=number, tool="bash", what="git push", paths=[], rule="ask run",
        until=1, unanswered="deny",
    )  # fmt: skip


async def _answer(store: Store, on: Seat, decision: str = "allow", by: str = "user:ann") -> str:
    return (await store.questions.answer(on.id, 1, decision, by, "")).verdict


async def test_an_answer_is_given_once(store: Store) -> None:
    on = await seat(store)
    await _asks(on)
    assert await _answer(store, on) == "ok"
    assert await _answer(store, on, "deny", "user:bob") == "answered"
    row = await store.questions.find(on.id, 1)
    assert row is not None
    assert (row.answer, row.answer_by) == ("allow", "user:ann")


async def test_of_many_who_answer_at_once_over_two_hubs_one_does(
    store: Store, connections: Postgres
) -> None:
    on, other = await seat(store), Store(connections)
    await _asks(on)
    said = await asyncio.gather(*(_answer(one, on) for _ in range(8) for one in (store, other)))
    assert sorted(said) == ["answered"] * 15 + ["ok"]
    orders = await connections.pool.fetchval(
        "SELECT count(*) FROM commands WHERE session_id = $1 AND kind = 'answer'", on.id
    )
    assert orders == 1


async def test_what_was_decided_meanwhile_is_not_answered(store: Store) -> None:
    on = await seat(store)
    await _asks(on)
    await on.agent("decided", question=1, decision="deny", by="deadline", rule="ask run")
    assert await _answer(store, on) == "answered"


async def test_nobody_waits_in_an_attempt_that_is_over(store: Store) -> None:
    on = await seat(store)
    await _asks(on)
    await on.reopened()
    assert await _answer(store, on) == "over"
    assert await store.questions.asked(session_id=on.id, below=None, only_open=True, limit=9) == []


async def test_who_is_being_aborted_is_not_answered(store: Store) -> None:
    on = await seat(store)
    await _asks(on)
    await store.sessions.abort(on.id, "ab_1", "test", {"reason": "r"}, upgrade=False)
    assert await _answer(store, on) == "over"


async def test_what_was_never_asked_is_unknown(store: Store) -> None:
    assert await _answer(store, await seat(store)) == "unknown"
