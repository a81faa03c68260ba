"""What is kept of a silent agent: until it is heard, over a loss of contact, and no longer."""

from __future__ import annotations

from hub.ops import views
from hub.store import Store
from protocol.ops.sessions import SessionView, Silence
from protocol.session import Activity, Fact, State
from tests.support.seat import Seat, seat

FELL = {"since": 1_000, "doing": "tool", "what": "npm test", "toolSince": 900}
SILENT = Silence(since=1_000, doing="tool", what="npm test", tool_since=900)


async def _view(on: Seat) -> SessionView:
    return views.session(await on.store.sessions.view(on.id))


async def _silence(on: Seat) -> Silence | None:
    said = (await _view(on)).agent_state
    return None if said is None else said.silent


async def test_it_is_silent_until_it_is_heard(store: Store) -> None:
    on = await seat(store)
    await on.agent("silent", **FELL)
    assert await _silence(on) == SILENT
    await on.agent("heard", after=5)
    assert await _silence(on) is None


async def test_what_it_did_and_that_it_is_silent_outlive_a_loss_of_contact(store: Store) -> None:
    on = await seat(store)
    await on.agent("activity", activity="waiting", note="asks run: ls", question=1)
    await on.agent("silent", **FELL)
    await store.sessions.tell(on.id, Fact.CONTACT_LOST, "away", {})
    away = await _view(on)
    assert (away.state, away.activity, away.agent_state) == (State.UNKNOWN, None, None)
    await store.sessions.tell(on.id, Fact.FOUND, "back", {})
    back = await _view(on)
    assert back.activity == Activity.WAITING
    assert back.agent_state is not None
    assert (back.agent_state.question, back.agent_state.silent) == (1, SILENT)


async def test_a_new_agent_begins_with_none_of_it(store: Store) -> None:
    on = await seat(store)
    await on.agent("activity", activity="waiting", note="asks run: ls", question=1)
    await on.agent("silent", **FELL)
    again = await on.reopened()
    view = await _view(again)
    assert view.activity == Activity.BUSY
    assert view.agent_state is None or view.agent_state.question is None
    assert await _silence(again) is None


async def test_what_a_spoke_may_not_say_of_it_is_not_shown(store: Store) -> None:
    on = await seat(store)
    await on.agent("silent", since=10**18, doing="mischief")
    assert await _silence(on) is None
    assert views.session(await store.sessions.view(on.id)).state is State.RUNNING
