"""What the hub finds for a word: whoever is called so goes before ids that begin with it."""

from __future__ import annotations

from dataclasses import replace

from hub.store import Store
from hub.store.spawning import NewSession
from tests.support import rows


def _called(task: str, id: str) -> NewSession:
    return replace(rows.new_session(branch=f"b/{id}"), session_id=id, task=task)


async def test_ids_that_begin_so_crowd_out_nobody_who_is_called_so(store: Store) -> None:
    """Who asked would take one of them for the only one."""
    named = [_called("a", f"ses_b{number}") for number in range(2)]
    for new in (*named, *(_called("other", f"ses_a{number}") for number in range(20))):
        await rows.spawn(store, new)
    found = await store.sessions.matching("a")
    assert {row.session_id for row in found[:2]} == {new.session_id for new in named}


async def test_who_has_not_ended_goes_first(store: Store) -> None:
    older, newer = _called("fix", "ses_b1"), _called("fix", "ses_b2")
    for new in (older, newer):
        await rows.spawn(store, new)
    assert [row.session_id for row in await store.sessions.matching("fix")] == ["ses_b2", "ses_b1"]
    await store.sessions.abort(newer.session_id, "ab_1", "test", {"reason": ""}, upgrade=False)
    assert [row.session_id for row in await store.sessions.matching("fix")] == ["ses_b1", "ses_b2"]
