"""The session above is told once of each record that matters, and nobody is where there is none."""

from __future__ import annotations

from hub.store import Store
from tests.support import rows
from tests.support.rows import new_session
from tests.support.seat import beside, seat


async def test_a_parent_is_told_once_of_each_record(store: Store) -> None:
    above = await seat(store)
    child = await beside(above, new_session(parent=above.id))
    for record in (7, 7, 9, 7):
        told = await store.sessions.tell_parent(
            child.id, child.attempt, record, "child_asked", {"text": "may I?"}
        )
        assert told == above.id
    story = await store.sessions.story(above.id)
    events = await store.sessions.events(story, above.id, 0, 100)
    said = [one.body for one in events if one.kind == "child_asked"]
    assert said == [
        {"sessionId": child.id, "attempt": 1, "record": record, "text": "may I?"}
        for record in (7, 9)
    ]


async def test_without_a_parent_nobody_is_told(store: Store) -> None:
    id = (await rows.spawn(store)).session_id
    assert await store.sessions.tell_parent(id, 1, 1, "child_asked", {}) is None


async def test_a_parent_that_has_ended_hears_nothing_more(store: Store) -> None:
    above = await seat(store)
    child = await beside(above, new_session(parent=above.id, on_parent_abort="continue-running"))
    await above.exits(outcome="completed")
    assert await store.sessions.tell_parent(child.id, 1, 1, "child_asked", {}) is None
    story = await store.sessions.story(above.id)
    events = await store.sessions.events(story, above.id, 0, 100)
    assert events[-1].kind == "completed"
