"""Where work was saved: stored from the spoke that had the attempt, told once."""

from __future__ import annotations

from hub.store import Store
from protocol.ops.wire import Saved
from tests.support import rows

COMMIT = "c" * 40


def _report(id: str, epoch: int, *, attempt: int = 1, **more: object) -> Saved:
    said = {"commit": COMMIT, "kind": "wip", "ref": f"refs/coord/wip/{id}", **more}
    return Saved.model_validate({"sessionId": id, "attempt": attempt, "epoch": epoch, **said})


async def _told(store: Store, id: str) -> list[object]:
    story = await store.sessions.story(id)
    events = await store.sessions.events(story, id, 0, 1_000)
    assert [event.seq for event in events] == list(range(1, story.last_seq + 1)), "gapless"
    return [event.kind for event in events if event.kind in ("saved", "unsaved")]


async def test_a_state_is_told_once_and_its_push_once_more(store: Store) -> None:
    spoke, at = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    await rows.run(store, spoke, at.epoch, id)
    for _ in range(2):
        assert await store.exchange.saved(spoke, _report(id, at.epoch)) == "ok"
    assert await _told(store, id) == ["saved"]
    pushed = _report(id, at.epoch, pushed=True, pushedCommit=COMMIT)
    assert await store.exchange.saved(spoke, pushed) == "ok"
    assert await _told(store, id) == ["saved", "saved"]
    nothing_new = _report(id, at.epoch, commit=None, final=True)
    assert await store.exchange.saved(spoke, nothing_new) == "ok"
    assert await _told(store, id) == ["saved", "saved"]
    saved = (await store.sessions.view(id)).saved
    assert isinstance(saved, dict)
    assert (saved["commit"], saved["pushed"], saved["final"]) == (COMMIT, True, True)


async def test_what_could_not_be_saved_is_told_and_takes_nothing_back(store: Store) -> None:
    spoke, at = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    await rows.run(store, spoke, at.epoch, id)
    await store.exchange.saved(spoke, _report(id, at.epoch))
    await store.exchange.saved(spoke, _report(id, at.epoch, commit=None, why="no disk"))
    assert await _told(store, id) == ["saved", "unsaved"]
    saved = (await store.sessions.view(id)).saved
    assert isinstance(saved, dict)
    assert saved["commit"] == COMMIT


async def test_fences(store: Store) -> None:
    spoke, at = await rows.spoke(store)
    other, elsewhere = await rows.spoke(store)
    id = (await rows.spawn(store)).session_id
    await rows.run(store, spoke, at.epoch, id)
    assert await store.exchange.saved(other, _report(id, elsewhere.epoch)) == "unknown"
    assert await store.exchange.saved(spoke, _report(id, at.epoch + 1)) == "stale_epoch"
    assert await store.exchange.saved(spoke, _report(id, at.epoch, attempt=2)) == "unknown"
    assert await _told(store, id) == []
