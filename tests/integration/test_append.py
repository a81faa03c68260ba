"""Records are stored once each, in order, from the current attempt over the current connection."""

from __future__ import annotations

import asyncio

import pytest

from hub.store import Store
from protocol.errors import InvalidArgument
from protocol.session import Fact, State
from tests.support import rows
from tests.support.rows import record


async def _running(store: Store) -> tuple[str, int, str, int]:
    spoke, at = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    attempt = await rows.run(store, spoke, at.epoch, id)
    return spoke, at.epoch, id, attempt


def _lines(*texts: str) -> list[rows.Record]:
    return [record("stdout", text=text) for text in texts]


async def _texts(store: Store, id: str) -> list[object]:
    story = await store.sessions.story(id)
    events = await store.sessions.events(story, id, 0, 1_000)
    assert [event.seq for event in events] == list(range(1, story.last_seq + 1)), "gapless"
    return [e.body["text"] for e in events if e.kind == "stdout" and isinstance(e.body, dict)]


async def test_a_batch_sent_again_is_stored_once(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    for _ in range(2):
        row = await store.exchange.append(spoke, epoch, id, attempt, 3, _lines("a", "b"))
        assert (row.verdict, row.stored) == ("ok", 4)
    assert await _texts(store, id) == ["a", "b"]


async def test_a_batch_that_overlaps_adds_only_what_is_new(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    await store.exchange.append(spoke, epoch, id, attempt, 3, _lines("a", "b"))
    row = await store.exchange.append(spoke, epoch, id, attempt, 4, _lines("b", "c"))
    assert (row.stored, row.skipped) == (5, 1)
    assert await _texts(store, id) == ["a", "b", "c"]


async def test_after_a_gap_nothing_is_stored(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    row = await store.exchange.append(spoke, epoch, id, attempt, 9, _lines("z"))
    assert (row.verdict, row.stored) == ("ok", 2)
    assert await _texts(store, id) == []


async def test_appends_of_one_moment_are_each_stored_in_order(store: Store) -> None:
    spoke, epoch, one, attempt = await _running(store)
    other = (await rows.spawn(store)).session_id
    await rows.run(store, spoke, epoch, other)
    answers = await asyncio.gather(
        *(
            store.exchange.append(spoke, epoch, id, attempt, first, _lines(f"{id} {first}"))
            for first in range(3, 9)
            for id in (one, other)
        )
    )
    assert [(row.verdict, row.stored) for row in answers] == [
        ("ok", first) for first in range(3, 9) for _ in (one, other)
    ]
    for id in (one, other):
        assert await _texts(store, id) == [f"{id} {first}" for first in range(3, 9)]


async def test_one_that_cannot_be_stored_does_not_fail_those_of_its_moment(store: Store) -> None:
    spoke, epoch, one, attempt = await _running(store)
    others = [(await rows.spawn(store)).session_id for _ in range(3)]
    for other in others:
        await rows.run(store, spoke, epoch, other)
    said = await asyncio.gather(
        *(
            store.exchange.append(spoke, epoch, id, attempt, 3, _lines("\0" if id == one else "a"))
            for id in (others[0], one, *others[1:])
        ),
        return_exceptions=True,
    )
    assert [type(answer) for answer in said if isinstance(answer, BaseException)] == [
        InvalidArgument
    ]
    assert [await _texts(store, id) for id in (one, *others)] == [[], ["a"], ["a"], ["a"]]


async def test_an_old_connection_stores_nothing_and_is_told_to_reconnect(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    await store.exchange.greet(rows.hello(spoke), "1", 45)
    row = await store.exchange.append(spoke, epoch, id, attempt, 3, _lines("late"))
    assert row.verdict == "stale_epoch"
    assert await _texts(store, id) == []


async def test_an_old_attempt_stores_nothing_and_is_told_to_stop(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    exited = record("exited", outcome="blocked")
    await store.exchange.append(spoke, epoch, id, attempt, 3, [exited])
    await store.sessions.tell(id, Fact.REOPENED, None, {})
    assert await rows.assign(store, id, spoke) == attempt + 1
    row = await store.exchange.append(spoke, epoch, id, attempt, 4, _lines("ghost"))
    assert row.verdict == "superseded"


async def test_an_attempt_that_has_ended_stores_nothing_more(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    exited = record("exited", outcome="completed")
    await store.exchange.append(spoke, epoch, id, attempt, 3, [exited])
    row = await store.exchange.append(spoke, epoch, id, attempt, 4, _lines("ghost"))
    assert (row.verdict, row.stored) == ("superseded", 3)
    assert await _texts(store, id) == []


async def test_after_an_end_of_the_same_moment_nothing_more_is_stored(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    append = store.exchange.append
    *before, end, after = await asyncio.gather(
        append(spoke, epoch, id, attempt, 3, _lines("a")),
        append(spoke, epoch, id, attempt, 4, [record("exited", outcome="completed")]),
        append(spoke, epoch, id, attempt, 5, _lines("ghost")),
    )
    assert [row.verdict for row in (*before, end, after)] == ["ok", "ok", "superseded"]
    assert await _texts(store, id) == ["a"]


async def test_another_spoke_stores_nothing(store: Store) -> None:
    _, _, id, attempt = await _running(store)
    other, at = await rows.spoke(store)
    row = await store.exchange.append(other, at.epoch, id, attempt, 3, _lines("not mine"))
    assert row.verdict == "superseded"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("completed", State.COMPLETED), ("failed", State.FAILED), ("blocked", State.BLOCKED)],
)
async def test_the_final_report_ends_the_session(store: Store, outcome: str, state: State) -> None:
    spoke, epoch, id, attempt = await _running(store)
    exited = record("exited", outcome=outcome, exitCode=3, reason="because")
    await store.exchange.append(spoke, epoch, id, attempt, 3, [exited])
    view = await store.sessions.view(id)
    assert (view.state, view.exit_code, view.reason) == (state, 3, "because")
    assert view.finished_at is not None


async def test_what_its_spoke_calls_lost_is_lost_and_stays_so(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    exited = record("exited", outcome="lost", reason="REBOOTED")
    await store.exchange.append(spoke, epoch, id, attempt, 3, [exited])
    view = await store.sessions.view(id)
    assert (view.state, view.reason) == (State.LOST, "REBOOTED")
    other, other_epoch, other_id, other_attempt = await _running(store)
    await store.exchange.give_up(other_id, other_attempt, "too long")
    await store.exchange.append(other, other_epoch, other_id, other_attempt, 3, [exited])
    assert (await store.sessions.view(other_id)).state is State.LOST


async def test_what_a_reboot_ended_before_it_heard_of_its_abort_is_aborted(store: Store) -> None:
    """The spoke wrote the end before the order came; nothing else will ever come of it."""
    spoke, epoch, id, attempt = await _running(store)
    await store.sessions.abort(id, "ab_1", "test", {"reason": "r"}, upgrade=False)
    exited = record("exited", outcome="lost", reason="REBOOTED", survivors=0)
    await store.exchange.append(spoke, epoch, id, attempt, 3, [exited])
    view = await store.sessions.view(id)
    assert (view.state, view.abort_confirmed) == (State.ABORTED, True)


@pytest.mark.parametrize("first", [1, 2, 4])
async def test_an_end_behind_a_spool_that_lost_its_last_records_is_stored(
    store: Store, first: int
) -> None:
    """A machine died before they were on its disk; so its end has the number of one of them."""
    spoke, epoch, id, attempt = await _running(store)
    await store.exchange.append(spoke, epoch, id, attempt, 3, _lines("a", "b"))
    exited = record("exited", outcome="lost", reason="REBOOTED")
    for _ in range(2):
        row = await store.exchange.append(spoke, epoch, id, attempt, first, [exited])
        assert (row.verdict, row.stored) == ("ok", 5)
    assert (await store.sessions.view(id)).state is State.LOST
    story = await store.sessions.story(id)
    events = await store.sessions.events(story, id, 0, 1_000)
    assert [event.kind for event in events][-3:] == ["stdout", "exited", "lost"]
    assert [event.seq for event in events] == list(range(1, story.last_seq + 1))


async def test_such_an_end_confirms_the_abort_of_what_was_given_up(store: Store) -> None:
    """Its machine was off for long, the session was called lost, and then somebody aborted it."""
    spoke, epoch, id, attempt = await _running(store)
    await store.exchange.append(spoke, epoch, id, attempt, 3, _lines("a", "b"))
    await store.sessions.tell(id, Fact.CONTACT_LOST, "gone", {})
    await store.exchange.give_up(id, attempt, "too long")
    await store.sessions.abort(id, "ab_1", "test", {"reason": "r"}, upgrade=False)
    exited = record("exited", outcome="lost", reason="REBOOTED", survivors=0)
    for _ in range(2):
        row = await store.exchange.append(spoke, epoch, id, attempt, 3, [exited])
        assert (row.verdict, row.stored) == ("ok", 5)
    view = await store.sessions.view(id)
    assert (view.state, view.abort_confirmed) == (State.ABORTED, True)


async def test_such_an_end_is_stored_once_where_the_session_stays_lost(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    await store.exchange.append(spoke, epoch, id, attempt, 3, _lines("a", "b"))
    await store.exchange.give_up(id, attempt, "too long")
    exited = record("exited", outcome="lost", reason="REBOOTED", survivors=0)
    for _ in range(2):
        row = await store.exchange.append(spoke, epoch, id, attempt, 3, [exited])
        assert (row.verdict, row.stored) == ("ok", 5)
    assert (await store.sessions.view(id)).state is State.LOST


async def test_what_was_left_before_such_an_end_is_not_stored_over_what_is_there(
    store: Store,
) -> None:
    spoke, epoch, id, attempt = await _running(store)
    await store.exchange.append(spoke, epoch, id, attempt, 3, _lines("a", "b", "c", "d"))
    end = [record("undelivered", messageId="m"), record("exited", outcome="lost")]
    row = await store.exchange.append(spoke, epoch, id, attempt, 3, end)
    assert (row.stored, row.skipped) == (7, 1)
    assert await _texts(store, id) == ["a", "b", "c", "d"]
    assert (await store.sessions.view(id)).state is State.LOST


async def test_late_truth_beats_a_guess(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    await store.sessions.tell(id, Fact.CONTACT_LOST, "gone", {})
    assert await store.exchange.give_up(id, attempt, "too long") is State.LOST
    records = [*_lines("still here"), record("exited", outcome="completed", exitCode=0)]
    row = await store.exchange.append(spoke, epoch, id, attempt, 3, records)
    assert row.verdict == "ok"
    assert (await store.sessions.view(id)).state is State.COMPLETED
    assert await _texts(store, id) == ["still here"]


async def test_an_abort_is_confirmed_only_without_survivors(store: Store) -> None:
    spoke, epoch, id, attempt = await _running(store)
    await store.sessions.abort(id, "ab_1", "test", {"reason": "r"}, upgrade=False)
    exited = record("exited", outcome="aborted", survivors=2, endedBy="SIGKILL")
    await store.exchange.append(spoke, epoch, id, attempt, 3, [exited])
    view = await store.sessions.view(id)
    assert (view.state, view.abort_confirmed) == (State.ABORTED, False)


NEVER = record("exited", outcome="failed", reason="AGENT_NOT_FOUND", endedBy="never_started")


async def test_an_attempt_that_never_started_leaves_no_worktree(store: Store) -> None:
    """Its spoke has taken it away; but not the one that an attempt before it worked in."""
    spoke, at = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    for before in ([], [], [record("running", pid=1), record("exited", outcome="failed")]):
        attempt = await rows.assign(store, id, spoke)
        records = [record("starting", worktree="/w", baseCommit="b0"), *(before or [NEVER])]
        await store.exchange.append(spoke, at.epoch, id, attempt, 1, records)
        view = await store.sessions.view(id)
        assert (view.state, view.worktree) == (State.FAILED, "/w" if before else None)
        assert await store.sessions.tell(id, Fact.REOPENED, "again", {}) is State.QUEUED
    attempt = await rows.assign(store, id, spoke)
    records = [record("starting", worktree="/w", baseCommit="b0"), NEVER]
    await store.exchange.append(spoke, at.epoch, id, attempt, 1, records)
    assert (await store.sessions.view(id)).worktree == "/w"


async def test_what_the_table_refuses_is_refused_by_postgres_too(store: Store) -> None:
    id = (await rows.spawn(store)).session_id
    assert await store.sessions.tell(id, Fact.STARTED, None, {}) is None
    assert (await store.sessions.view(id)).state is State.QUEUED
