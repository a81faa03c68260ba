"""What agents used is added up over attempts and over a tree; a price that is unknown stays so."""

from __future__ import annotations

from pydantic import JsonValue

from hub.ops import views
from hub.store import Store
from hub.store.rows.usage import TreeUsageRow
from protocol.session import Fact
from tests.support import rows
from tests.support.rows import new_session, record


class Seat:
    """A session's agent, and what it says."""

    def __init__(self, store: Store, spoke: str, epoch: int, id: str, attempt: int) -> None:
        self.store, self.spoke, self.epoch, self.id, self.attempt = store, spoke, epoch, id, attempt
        self.next = 3

    async def says(self, **body: JsonValue) -> None:
        told = [record("agent", **body)]
        row = await self.store.exchange.append(
            self.spoke, self.epoch, self.id, self.attempt, self.next, told
        )
        assert row.verdict == "ok"
        self.next += 1

    async def ends(self) -> None:
        await self.store.exchange.append(
            self.spoke, self.epoch, self.id, self.attempt, self.next,
            [record("exited", outcome="blocked")],
        )  # fmt: skip


async def _seat(store: Store, parent: str | None = None) -> Seat:
    spoke, at = await rows.spoke(store)
    id = (await rows.spawn(store, new_session(parent=parent))).session_id
    return Seat(store, spoke, at.epoch, id, await rows.run(store, spoke, at.epoch, id))


async def _again(seat: Seat) -> Seat:
    await seat.ends()
    await seat.store.sessions.tell(seat.id, Fact.REOPENED, None, {})
    attempt = await rows.run(seat.store, seat.spoke, seat.epoch, seat.id)
    return Seat(seat.store, seat.spoke, seat.epoch, seat.id, attempt)


async def _total(store: Store, id: str) -> dict[str, object]:
    view = views.session(await store.sessions.view(id))
    assert view.agent_state is not None
    assert view.agent_state.total is not None
    return view.agent_state.total.model_dump(exclude_none=True)


async def test_the_last_word_of_an_attempt_counts(store: Store) -> None:
    seat = await _seat(store)
    await seat.says(event="usage", tokensIn=10, tokensOut=1, costUsd=0.25)
    await seat.says(event="usage", tokensIn=30, tokensOut=3, costUsd=0.5)
    assert await store.usage.of_tree(seat.id) == TreeUsageRow(1, 30, 3, 0.5, 0.5)


async def test_a_conversation_that_was_taken_up_again_costs_what_it_said_last(store: Store) -> None:
    seat = await _seat(store)
    await seat.says(event="opened", agentSessionId="one")
    await seat.says(event="usage", tokensIn=10, tokensOut=1, costUsd=0.25)
    seat = await _again(seat)
    await seat.says(event="opened", agentSessionId="one")
    await seat.says(event="usage", tokensIn=20, tokensOut=2, costUsd=0.75)
    total = {"tokens_in": 30, "tokens_out": 3, "cost_usd": 0.75, "known_cost_usd": 0.75}
    assert await _total(store, seat.id) == total
    seat = await _again(seat)
    await seat.says(event="opened", agentSessionId="another")
    await seat.says(event="usage", tokensIn=1, tokensOut=1, costUsd=0.5)
    assert (await _total(store, seat.id))["cost_usd"] == 1.25


async def test_a_tree_is_summed_and_an_unknown_price_stays_unknown(store: Store) -> None:
    top = await _seat(store)
    child = await _seat(store, parent=top.id)
    below = await _seat(store, parent=child.id)
    await top.says(event="usage", tokensIn=1, tokensOut=1, costUsd=1.0)
    assert await store.usage.of_tree(top.id) == TreeUsageRow(3, 1, 1, 1.0, 1.0)
    await child.says(event="usage", tokensIn=10, tokensOut=10)
    await below.says(event="usage", tokensIn=100, tokensOut=100, costUsd=2.0)
    assert await store.usage.of_tree(top.id) == TreeUsageRow(3, 111, 111, None, 3.0)
    assert await store.usage.of_tree(below.id) == TreeUsageRow(1, 100, 100, 2.0, 2.0)
    assert "cost_usd" not in await _total(store, child.id)


async def test_nothing_said_is_nothing_used(store: Store) -> None:
    seat = await _seat(store)
    assert await store.usage.of_tree(seat.id) == TreeUsageRow(1, 0, 0, None, None)


async def test_what_is_no_number_is_not_counted(store: Store) -> None:
    """A spoke may say anything; its other records are stored all the same."""
    seat = await _seat(store)
    await seat.says(event="usage", tokensIn="many", tokensOut=-5, costUsd=[1], model={"x": 1})
    await seat.says(event="usage", tokensIn=1e300, tokensOut=2.9)
    assert await store.usage.of_tree(seat.id) == TreeUsageRow(1, 10**15, 2, None, None)
