"""The spoke dies, is upgraded, is drained; its machine reboots."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

import coord
from protocol.ops.spawning import Spawned
from tests.support.agents import COUNT, WORK, check_count
from tests.support.inspector import marks
from tests.support.town import Town
from tests.support.world import ended, lines, story

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Binds another boot id over the kernel's, for the one process that it becomes.
_REBOOTED = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


async def _counters(hub: coord.Hub, repo: str, many: int) -> list[Spawned]:
    asked = [
        hub.spawn(f"count{n}", repo=repo, spoke="anvil", command="sh", args=["-c", COUNT])
        for n in range(many)
    ]
    return await asyncio.gather(*asked)


async def _goes_on(hub: coord.Hub, id: str) -> None:
    """Until it has said more than it had when this was asked."""
    known = (await story(hub, id))[-1].seq
    async for event in hub.events(id, after=known):
        if event.kind == "stdout":
            return


async def _finish(hub: coord.Hub, made: list[Spawned]) -> None:
    for one in made:
        (Path(str(one.worktree)) / "stop").touch()
    for session in await ended(hub, *(one.session_id for one in made)):
        assert (session.state, session.attempt) == ("completed", 1)
        check_count(lines(await story(hub, session.session_id)))


def _shells(made: list[Spawned]) -> set[int]:
    """The agents: not what one has just forked, which looks like it until it is a `sleep`."""
    ids = {one.session_id for one in made}
    found: set[int] = set()
    for pid, (id, _) in marks().items():
        with suppress(OSError):
            if id in ids and os.getsid(pid) == pid:
                found.add(pid)
    return found


async def test_fault_06_the_daemon_is_killed(here: Town, repo: str) -> None:
    async with here.client() as hub:
        made = await _counters(hub, repo, 6)
        before = _shells(made)
        assert len(before) == 6
        await here.spokes["anvil"].kill()
        epochs = await here.epochs("anvil")
        await here.spokes["anvil"].start()
        await here.moved_on(epochs)
        await asyncio.gather(*(_goes_on(hub, one.session_id) for one in made))
        assert before <= _shells(made), "the same agents"
        await _finish(hub, made)
    await here.settled()


async def test_fault_07_the_daemon_is_stopped_politely_and_another_one_started(
    here: Town, repo: str
) -> None:
    async with here.client() as hub:
        made = await _counters(hub, repo, 3)
        before = _shells(made)
        assert await here.spokes["anvil"].end() == 0, here.spokes["anvil"].said()
        assert before <= _shells(made), "agents go on"
        epochs = await here.epochs("anvil")
        await here.spokes["anvil"].start()
        await here.moved_on(epochs)
        await asyncio.gather(*(_goes_on(hub, one.session_id) for one in made))
        await _finish(hub, made)
    await here.settled()


@pytest.mark.namespaces
async def test_fault_08_its_machine_reboots(here: Town, repo: str) -> None:
    """All processes end at once, and the daemon comes up in another boot."""
    daemon = here.spokes["anvil"]
    async with here.client() as hub:
        made = await hub.spawn("a", repo=repo, spoke="anvil", command="sh", args=["-c", WORK])
        async for event in hub.events(made.session_id):
            if event.body.get("text") == "line 1":
                break
        await daemon.kill()
        _end_all_of(here, made)
        boot = here.folder / "boot"
        boot.write_text(f"{uuid.uuid4()}\n")
        alone = [] if os.geteuid() == 0 else ["--map-root-user"]
        plain = list(daemon.argv)
        daemon.argv[:] = ["unshare", "--mount", *alone, "sh", "-c", _REBOOTED, str(boot), *plain]
        await daemon.start()
        [session] = await ended(hub, made.session_id)
        assert (session.state, session.reason) == ("lost", "REBOOTED")
        assert (session.branch, session.worktree) == (made.branch, made.worktree)
        assert (Path(str(made.worktree)) / "two").read_text() == "draft\n", "its work is there"
        await daemon.kill()
        daemon.argv[:] = plain
        await daemon.start()
        await here.online("anvil")
    await here.settled()


def _end_all_of(here: Town, made: Spawned) -> None:
    supervisor = here.state("anvil") / "attempts" / f"{made.session_id}.1" / "supervisor.json"
    above = int(json.loads(supervisor.read_text())["pid"])
    for pid in [above, *(pid for pid, (id, _) in marks().items() if id == made.session_id)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def test_fault_18_drained_with_a_long_job(here: Town, repo: str) -> None:
    async with here.client() as hub:
        [made] = await _counters(hub, repo, 1)
        said = await hub.call("spoke.drain", {"spoke": "anvil", "waitMs": 300})
        assert isinstance(said, dict)
        assert said["remaining"]
        await _goes_on(hub, made.session_id)
        other = await hub.spawn("b", repo=repo, command="true")
        [session] = await ended(hub, other.session_id)
        assert session.spoke == "forge", "nothing new comes to anvil"
        await _finish(hub, [made])
        said = await hub.call("spoke.drain", {"spoke": "anvil"})
        assert isinstance(said, dict)
        assert not said["remaining"]
        await hub.call("spoke.cordon", {"spoke": "anvil", "cordoned": False})
    await here.settled()
