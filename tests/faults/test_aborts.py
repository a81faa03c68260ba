"""Stopped means seen dead, whatever stands in the way of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.agents import DESCENDANTS, STUBBORN, WAIT
from tests.support.inspector import marks
from tests.support.repositories import make_repository
from tests.support.town import Town
from tests.support.world import story, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPOKES = ("anvil",)


async def _said_ready(here: Town, id: str) -> None:
    async with here.client() as hub:
        async for event in hub.events(id):
            if event.body.get("text") == "ready":
                return


async def test_fault_19_an_abort_waits_for_a_spoke_that_is_out_of_reach(
    here: Town, repo: str
) -> None:
    way = here.ways["anvil"]
    async with here.client() as hub:
        made = await hub.spawn("a", repo=repo, spoke="anvil", command="sh", args=["-c", WAIT])
        way.refusing = True
        way.cut()
        carried = way.carried
        receipt = await hub.abort(made.session_id, wait_ms=2_000)
        [one] = receipt.sessions
        assert not receipt.complete, "although it was given more time than its ladder takes"
        assert one.pending is not None, "it says what it waits for"
        assert "ending" not in one.pending, "nobody has told the spoke"
        async with here.database() as db:
            told = "SELECT acked_at FROM commands WHERE session_id = $1 AND kind = 'stop'"
            assert [row["acked_at"] for row in await db.fetch(told, made.session_id)] == [None]
        assert _alive(made.session_id), "its agent outlives the link"
        assert way.carried == carried, "nobody came through"
        way.refusing = False
        receipt = await hub.abort(made.session_id)
        assert receipt.complete
        assert not _alive(made.session_id)
    await here.settled()


async def test_fault_22_aborted_while_its_repository_is_cloned(here: Town, tmp_path: Path) -> None:
    repo = make_repository(tmp_path / "large", files=2_000)
    async with here.client() as hub:
        made = await hub.spawn(
            "a", repo=repo, spoke="anvil", command="sh", args=["-c", WAIT], until="assigned"
        )
        receipt = await hub.abort(made.session_id)
        assert receipt.complete
        clones = here.state("anvil") / "clones"
        await until(lambda: not _at_work_in(clones), "no git is at work there, and no lock stays")
        again = await hub.spawn(
            "b", repo=repo, spoke="anvil", branch=made.branch, command="true", until="running"
        )
        assert again.worktree is not None, "its branch is free again"
    await here.settled()


async def test_fault_23_an_agent_that_ignores_int_and_term(here: Town, repo: str) -> None:
    async with here.client() as hub:
        made = await hub.spawn("a", repo=repo, spoke="anvil", command="sh", args=["-c", STUBBORN])
        await _said_ready(here, made.session_id)
        receipt = await hub.abort(made.session_id)
        [one] = receipt.sessions
        assert (receipt.complete, one.after, one.ended_by) == (True, "aborted", "SIGKILL")
    await here.settled()


@pytest.mark.parametrize("spoke", ["anvil", "plain"])
@pytest.mark.parametrize("kind", DESCENDANTS)
async def test_fault_24_no_stubborn_descendant_survives(
    here: Town, repo: str, kind: str, spoke: str
) -> None:
    """With control groups, where the machine has them, and without. The one who looks for them
    knows nothing of marks: it knows a number of seconds."""
    if spoke not in here.spokes:
        await here.add_spoke(spoke, groups=False)
    seconds = str(10_000_000 + os.getpid() + hash(kind) % 1_000_000)
    script = DESCENDANTS[kind].replace("900", seconds)
    async with here.client() as hub:
        made = await hub.spawn("a", repo=repo, spoke=spoke, command="bash", args=["-c", script])
        await _said_ready(here, made.session_id)
        await until(lambda: len(_alive(made.session_id)) >= 1, "they are there")
        receipt = await hub.abort(made.session_id)
        [one] = receipt.sessions
        assert (receipt.complete, one.confirmed, one.survivors) == (True, True, 0)
        assert one.processes >= 2, "the agent and what it left"
        assert not [line for line in _commands() if seconds in line]
        [ended] = [e for e in await story(hub, made.session_id) if e.kind == "exited"]
        told = ended.body["processes"]
        assert isinstance(told, list)
        signals = {str(each["endedBy"]) for each in told if isinstance(each, dict)}
        assert signals <= {"SIGINT", "SIGTERM", "SIGKILL"}, "each with the signal that ended it"
        assert signals
    await here.settled()


def _at_work_in(clones: Path) -> list[str]:
    """What git does in them, and holds. Worktrees are made in advance there, now and then."""
    files = [name for _, _, names in os.walk(clones) for name in names]
    locks = [name for name in files if name.endswith(".lock")]
    return locks + [line for line in _commands() if "git" in line and str(clones) in line]


def _alive(id: str) -> list[int]:
    return [pid for pid, (session, _) in marks().items() if session == id]


def _commands() -> list[str]:
    """The command lines of all processes of this machine."""
    lines: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return lines
