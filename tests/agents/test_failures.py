"""What goes wrong with a real agent is shown as what it is, with what to do next."""

from __future__ import annotations

import pytest

from protocol.agents import ABILITIES
from protocol.errors import CallError
from protocol.session import State
from tests.agents.stage import COMMIT, Stage, log
from tests.support.world import marked


async def test_a_wrong_key_is_told(on_stage: Stage) -> None:
    on = on_stage
    id = await on.spawn("model: fail auth_failed")
    view = await on.ended(id)
    assert view.state is State.FAILED
    assert view.reason == "authFailed"
    assert view.agent_state is not None
    assert view.agent_state.failure is not None
    assert view.agent_state.failure.message
    assert "key" in view.agent_state.failure.advice
    assert marked(id) == {}


async def test_a_limit_is_waited_for_and_the_work_is_done(on_stage: Stage) -> None:
    on = on_stage
    id = await on.spawn("model: fail rate_limited 1 1\n" + COMMIT, stdin="closed")
    view = await on.ended(id)
    assert view.state is State.COMPLETED
    assert log(view.worktree or "")[0] == "Add one"
    assert view.agent_state is not None
    assert view.agent_state.committed is True
    doing = await on.told(id, "activity")
    waits = [one for one in doing if one["activity"] == "rate_limited"]
    assert bool(waits) == ABILITIES[on.agent].reports_waits
    assert all("until" in one for one in waits) == (on.agent != "codex")
    assert doing[-1]["activity"] != "rate_limited"


@pytest.mark.parametrize("on_stage", ["opencode"], indirect=True)
async def test_an_empty_account_is_no_limit_that_will_be_over(on_stage: Stage) -> None:
    """Both are answered with the same status."""
    on = on_stage
    id = await on.spawn("model: fail quota_exhausted 99 1")
    view = await on.ended(id)
    assert (view.state, view.reason) == (State.FAILED, "authFailed")


async def test_what_it_cannot_do_is_refused_where_that_is_asked(on_stage: Stage) -> None:
    on = on_stage
    id = await on.spawn("model: say Ready.")
    await on.hears(id, "Ready.")
    for mode in {"steer", "interrupt"} - ABILITIES[on.agent].modes:
        with pytest.raises(CallError, match="MODE_UNSUPPORTED"):
            await on.hub.message(id, "more", mode=mode, on_unsupported="fail")
    await on.hub.abort(id)
    view = await on.view(id)
    assert view.state is State.ABORTED
    assert marked(id) == {}
