"""What the hub finds for a word: nobody who may be meant is crowded out by those who are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hub.store import Store
from hub.store.spawning import NewSession
from protocol.session import Fact
from tests.support import rows


def _called(task: str, id: str, parent: str | None = None) -> NewSession:
    new = rows.new_session(branch=f"b/{id}", parent=parent)
    return replace(new, session_id=id, task=task)


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


@pytest.mark.parametrize("how", [Fact.GIVEN_UP, Fact.BLOCKED])
async def test_whom_there_is_something_to_do_with_goes_before_those_who_are_done(
    store: Store, how: Fact
) -> None:
    """One who is lost is aborted by its name, and one who is blocked is spoken to."""
    first, *others = [_called("fix", f"ses_b{number}") for number in range(21)]
    for new in (first, *others):
        await rows.spawn(store, new)
        await store.sessions.tell(new.session_id, Fact.PLACED, None, {})
        end = how if new is first else Fact.COMPLETED
        assert await store.sessions.tell(new.session_id, end, None, {}) is not None
    found = await store.sessions.matching("fix")
    assert found[0].session_id == first.session_id


async def test_what_a_session_cannot_reach_crowds_out_none_of_its_own(store: Store) -> None:
    await rows.spawn(store, _called("lead", "ses_top"))
    below = [_called("fix", f"ses_a{number}", "ses_top") for number in range(2)]
    for new in (*below, *(_called("fix", f"ses_b{number}") for number in range(20))):
        await rows.spawn(store, new)
    found = await store.sessions.matching("fix", "ses_top")
    assert [row.session_id for row in found] == ["ses_a1", "ses_a0"]
    assert [row.session_id for row in await store.sessions.matching("lead", "ses_top")] == [
        "ses_top"
    ]
    assert await store.sessions.matching("fix", "ses_b0") != []
    assert await store.sessions.matching("fix", "") == []
