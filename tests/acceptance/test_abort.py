"""Stopped means seen dead: over two machines, through setsid, with a receipt."""

from __future__ import annotations

import pytest

from coord import Hub
from protocol.errors import FailedPrecondition
from protocol.ops.sessions import Receipt
from tests.support.world import COORDCTL, World, marked, story, until

SPOKES: dict[str, tuple[str, ...]] = {"anvil": (), "forge": ()}
LONG = "while true; do sleep 0.2; done"

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _lead(child: str) -> str:
    """A shell that spawns a child through coordctl, says so, and goes on."""
    return f"{child} || exit 9; echo spawned; {LONG}"


def _spawn(task: str, repo: str, spoke: str, script: str, *more: str) -> str:
    quoted = script.replace("'", "'\\''")
    flags = " ".join(more)
    return f"{COORDCTL} spawn {task} --repo {repo} --spoke {spoke} {flags} -- sh -c '{quoted}'"


async def _said(hub: Hub, session_id: str, text: str) -> None:
    async for event in hub.events(session_id):
        if event.body.get("text") == text:
            return
    raise AssertionError(f"{session_id} never said {text}")


async def _ids(hub: Hub, root: str) -> dict[str, str]:
    """By task, of all that is in the tree by now."""
    return {one.task: one.session_id for one in (await hub.status(tree=root)).sessions}


async def test_a_tree_over_two_spokes_is_aborted_with_one_call(here: World, repo: str) -> None:
    async with here.client() as hub:
        deepest = f"setsid nohup sleep 600 >/dev/null 2>&1 & echo dug in; {LONG}"
        middle = _lead(_spawn("c", repo, "anvil", deepest))
        spared = _spawn("d", repo, "forge", LONG, "--on-parent-abort", "continue-running")
        top = _lead(f"{_spawn('b', repo, 'forge', middle)} && {spared}")
        a = await hub.spawn("a", repo=repo, spoke="anvil", command="sh", args=["-c", top])
        await _said(hub, a.session_id, "spawned")
        await _said(hub, (await _ids(hub, a.session_id))["b"], "spawned")
        ids = await _ids(hub, a.session_id)
        assert ids.keys() == {"a", "b", "c", "d"}
        await _said(hub, ids["c"], "dug in")
        await until(lambda: _sleeps(ids["c"]), "what it left in a session of its own is there")

        receipt = await hub.abort(a.session_id, reason="enough")

        _check_receipt(receipt, {ids["a"], ids["b"], ids["c"]}, ids["d"])
        assert marked(ids["a"], ids["b"], ids["c"]) == {}, "nothing of theirs is left"
        assert marked(ids["d"]), "the child that was to continue lives on"
        again = await hub.abort(a.session_id, reason="really")
        assert again.abort_id == receipt.abort_id
        assert again.sessions == receipt.sessions, "a second abort changes nothing"
        with pytest.raises(FailedPrecondition) as refused:
            await hub.spawn("late", repo=repo, parent_session_id=ids["a"], command="true")
        assert refused.value.reason == "PARENT_ABORTED"
        with pytest.raises(FailedPrecondition) as refused:
            await hub.message(ids["b"], "hello?")
        assert refused.value.reason == "SESSION_ENDED"
        assert "has ended (aborted)" in refused.value.message
        await hub.abort(ids["d"])
        assert marked(ids["d"]) == {}


def _sleeps(id: str) -> bool:
    return any(line.startswith("sleep 600") for line in marked(id).values())


def _check_receipt(receipt: Receipt, hit: set[str], spared: str) -> None:
    assert receipt.complete
    assert {one.session_id for one in receipt.sessions} == hit
    assert receipt.spared == [spared]
    for one in receipt.sessions:
        assert one.confirmed, one
        assert (one.after, one.survivors) == ("aborted", 0), one
        assert one.ended_by in ("SIGINT", "SIGTERM", "SIGKILL"), one
        assert one.ended_at is not None


async def test_a_safe_exit_is_blocked_and_a_message_starts_it_again(here: World, repo: str) -> None:
    script = f"""
        if [ -e asked ]; then read -r answer; echo "the answer is $answer"; exit 0; fi
        touch asked; {COORDCTL} notify --level blocking 'which database?'; {LONG}"""
    async with here.client() as hub:
        made = await hub.spawn("a", repo=repo, command="sh", args=["-c", script])
        said = await hub.wait(made.session_id, timeout_ms=60_000)
        assert (said.sessions[0].state, said.sessions[0].reason) == ("blocked", "which database?")
        assert marked(made.session_id) == {}
        await hub.message(made.session_id, "the small one")
        said = await hub.wait(made.session_id, timeout_ms=60_000)
        assert (said.sessions[0].state, said.sessions[0].attempt) == ("completed", 2)
        texts = [event.body.get("text") for event in await story(hub, made.session_id)]
        assert "the answer is the small one" in texts


async def test_killing_the_leader_by_hand_is_seen(here: World, repo: str) -> None:
    """Somebody else kills the agent: the session fails, and says by which signal."""
    import os
    import signal

    async with here.client() as hub:
        made = await hub.spawn("a", repo=repo, command="sleep", args=["600"])
        await until(lambda: marked(made.session_id), "the agent runs")
        for pid, line in marked(made.session_id).items():
            if line.startswith("sleep"):
                os.kill(pid, signal.SIGKILL)
        said = await hub.wait(made.session_id, timeout_ms=60_000)
        assert said.sessions[0].state == "failed"
        last = [event for event in await story(hub, made.session_id) if event.kind == "exited"]
        assert last[-1].body["signal"] == "SIGKILL"
