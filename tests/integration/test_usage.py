"""What agents used is added up over attempts and over a tree; a price that is unknown stays so."""

from __future__ import annotations

from hub.ops import views
from hub.store import Store
from hub.store.rows.usage import TreeUsageRow
from tests.support.rows import new_session
from tests.support.seat import seat


async def _total(store: Store, id: str) -> dict[str, object]:
    view = views.session(await store.sessions.view(id))
    assert view.agent_state is not None
    assert view.agent_state.total is not None
    return view.agent_state.total.model_dump(exclude_none=True)


async def test_the_last_word_of_an_attempt_counts(store: Store) -> None:
    on = await seat(store)
    await on.agent("usage", tokensIn=10, tokensOut=1, costUsd=0.25)
    await on.agent("usage", tokensIn=30, tokensOut=3, costUsd=0.5)
    assert await store.usage.of_tree(on.id) == TreeUsageRow(1, 30, 3, 0.5, 0.5)


async def test_a_conversation_that_was_taken_up_again_costs_what_it_said_last(store: Store) -> None:
    on = await seat(store)
    await on.agent("opened", agentSessionId="one")
    await on.agent("usage", tokensIn=10, tokensOut=1, costUsd=0.25)
    on = await on.reopened()
    await on.agent("opened", agentSessionId="one")
    await on.agent("usage", tokensIn=20, tokensOut=2, costUsd=0.75)
    total = {"tokens_in": 30, "tokens_out": 3, "cost_usd": 0.75, "known_cost_usd": 0.75}
    assert await _total(store, on.id) == total
    on = await on.reopened()
    await on.agent("opened", agentSessionId="another")
    await on.agent("usage", tokensIn=1, tokensOut=1, costUsd=0.5)
    assert (await _total(store, on.id))["cost_usd"] == 1.25


async def test_a_tree_is_summed_and_an_unknown_price_stays_unknown(store: Store) -> None:
    top = await seat(store)
    child = await seat(store, new_session(parent=top.id))
    below = await seat(store, new_session(parent=child.id))
    await top.agent("usage", tokensIn=1, tokensOut=1, costUsd=1.0)
    assert await store.usage.of_tree(top.id) == TreeUsageRow(3, 1, 1, 1.0, 1.0)
    await child.agent("usage", tokensIn=10, tokensOut=10)
    await below.agent("usage", tokensIn=100, tokensOut=100, costUsd=2.0)
    assert await store.usage.of_tree(top.id) == TreeUsageRow(3, 111, 111, None, 3.0)
    assert await store.usage.of_tree(below.id) == TreeUsageRow(1, 100, 100, 2.0, 2.0)
    assert "cost_usd" not in await _total(store, child.id)


async def test_nothing_said_is_nothing_used(store: Store) -> None:
    on = await seat(store)
    assert await store.usage.of_tree(on.id) == TreeUsageRow(1, 0, 0, None, None)


async def test_what_is_no_number_is_not_counted(store: Store) -> None:
    """A spoke may say anything; its other records are stored all the same."""
    on = await seat(store)
    await on.agent("usage", tokensIn="many", tokensOut=-5, costUsd=[1], model={"x": 1})
    await on.agent("usage", tokensIn=1e300, tokensOut=2.9)
    assert await store.usage.of_tree(on.id) == TreeUsageRow(1, 10**15, 2, None, None)
