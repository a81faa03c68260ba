"""What was true of one attempt is not believed of another, however late and however often."""

from __future__ import annotations

import pytest

from hub.store import Store
from protocol.ops.wire import InventoryItem
from protocol.session import Fact, State
from tests.support import rows
from tests.support.rows import record


async def _lost(store: Store) -> tuple[str, int, str]:
    """A spoke, its epoch, and a session of it whose first attempt was given up."""
    spoke, at = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    attempt = await rows.run(store, spoke, at.epoch, id)
    assert await store.exchange.give_up(id, attempt, "too long") is State.LOST
    return spoke, at.epoch, id


async def _again(store: Store, id: str, spoke: str) -> int:
    await store.sessions.tell(id, Fact.REOPENED, "asked", {})
    return await rows.assign(store, id, spoke)


async def test_late_truth_of_an_attempt_that_was_replaced_is_too_late(store: Store) -> None:
    """Also where the attempt after it was given up as well: only the newest may still speak."""
    spoke, epoch, id = await _lost(store)
    second = await _again(store, id, spoke)
    assert await store.exchange.give_up(id, second, "too long") is State.LOST
    exited = record("exited", outcome="completed")
    row = await store.exchange.append(spoke, epoch, id, 1, 3, [exited])
    assert row.verdict == "superseded"
    assert (await store.sessions.view(id)).state is State.LOST
    row = await store.exchange.append(spoke, epoch, id, second, 1, [exited])
    assert row.verdict == "ok"
    assert (await store.sessions.view(id)).state is State.COMPLETED


async def test_the_end_of_an_attempt_that_was_replaced_is_not_that_of_the_session(
    store: Store,
) -> None:
    spoke, _, id = await _lost(store)
    second = await _again(store, id, spoke)
    assert await store.exchange.give_up(id, 1, "its spoke no longer has it") is None
    view = await store.sessions.view(id)
    assert (view.state, view.attempt) == (State.ASSIGNED, second)


async def test_an_attempt_on_another_spoke_fences_the_first(store: Store) -> None:
    spoke, epoch, id = await _lost(store)
    other, at = await rows.spoke(store)
    second = await _again(store, id, other)
    row = await store.exchange.append(spoke, epoch, id, 1, 3, [record("stdout", text="ghost")])
    assert row.verdict == "superseded"
    begun = [record("starting", worktree="/w/2"), record("running", pid=1)]
    row = await store.exchange.append(other, at.epoch, id, second, 1, begun)
    assert row.verdict == "ok"


async def test_a_batch_that_overlaps_does_not_carry_news_into_a_session_that_waits_again(
    store: Store,
) -> None:
    """Its answer was lost, and it is sent again with what came since, of an attempt given up."""
    spoke, epoch, id = await _lost(store)
    assert await store.resuming.resume(id, None, "resumed", lost=False) == "ok"
    known = record("running", pid=1)
    exited = record("exited", outcome="failed", exitCode=3)
    row = await store.exchange.append(spoke, epoch, id, 1, 2, [known, exited])
    assert (row.verdict, row.stored) == ("superseded", 2)
    view = await store.sessions.view(id)
    assert (view.state, view.exit_code, view.result) == (State.QUEUED, None, None)
    assert (await store.exchange.append(spoke, epoch, id, 1, 2, [known])).verdict == "ok"


@pytest.mark.parametrize("why", ["completed", "blocked", "failed", "aborted", "anything"])
async def test_what_is_given_up_with_the_word_of_an_end_has_not_ended(
    store: Store, why: str
) -> None:
    """The reason is a person's own words. While the session waits, its spoke comes back."""
    spoke, at = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    await rows.run(store, spoke, at.epoch, id)
    await store.sessions.tell(id, Fact.CONTACT_LOST, "gone", {})
    assert await store.resuming.resume(id, None, why, lost=True) == "ok"
    runs = InventoryItem(session_id=id, attempt=1, state="running", last_record=2)
    greeted = await store.exchange.greet(rows.hello(spoke, held=[runs]), "1", 45)
    assert greeted is not None
    assert [row.given_up for row in greeted.held] == [True]


async def test_the_worktree_of_an_attempt_that_began_meanwhile_is_not_forgotten(
    store: Store,
) -> None:
    """A cleanup looks, its spoke removes, and the session is resumed before that is noted."""
    spoke, epoch, id = await _lost(store)
    seen = await store.sessions.view(id)
    assert await store.resuming.resume(id, None, "resumed", lost=False) == "ok"
    assert await rows.run(store, spoke, epoch, id) == 2
    await store.sessions.release_worktree(id, seen.attempt)
    assert (await store.sessions.view(id)).worktree == f"/w/{id}"
    await store.sessions.release_worktree(id, 2)
    assert (await store.sessions.view(id)).worktree is None
