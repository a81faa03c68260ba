"""The spoke's gits give way to all, and go with who wanted them, locks and all (SECURITY G13)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from protocol.errors import CallError
from spoke import idle
from spoke.flight import Flights
from spoke.git import GitFailed
from tests.support.worktrees import House, git
from tests.support.world import until


def running(word: str) -> list[str]:
    """The command lines of all processes that have the word in theirs."""
    lines: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(path.read_bytes().decode(errors="replace"))
    return [line for line in lines if word in line]


@pytest.mark.parametrize("how", ["cancel", "timeout"])
async def test_a_stuck_fetch_dies_with_its_children(
    house: House, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    os.mkfifo(house.source / ".git/packed-refs")  # upload-pack waits for ever to open it
    if how == "cancel":
        task = asyncio.ensure_future(house.make("s1"))
        await until(lambda: "upload-pack" in "".join(running(house.repo)), "it is being fetched")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        with monkeypatch.context() as patch:  # the last fetch has all the time that it needs
            patch.setattr("spoke.clones.FETCH_TIMEOUT", 0.5)
            with pytest.raises(CallError, match="GIT_TIMEOUT"):
                await house.make("s1")
    assert running(house.repo) == []
    assert list((house.root / "clones").iterdir()) == []
    (house.source / ".git/packed-refs").unlink()
    assert (await house.make("s1")).path.exists()


async def test_git_that_ignores_term_is_killed_and_its_locks_go(house: House) -> None:
    clone = await house.clone()
    lock = clone.path / "refs/heads/stuck.lock"
    script = f"trap '' TERM; touch {lock}; while :; do sleep 1; done"
    task = asyncio.ensure_future(clone.run(["-c", f"alias.stuck=!{script}", "stuck"]))
    await until(lock.exists, "it has its lock")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert running(str(lock)) == []
    assert not lock.exists()


async def test_a_waiter_that_leaves_does_not_take_the_others_along() -> None:
    flights: Flights[int] = Flights()
    go = asyncio.Event()

    async def work() -> int:
        await go.wait()
        return 7

    one, two = (asyncio.ensure_future(flights.join("k", work)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    go.set()
    assert await two == 7


async def test_old_locks_are_broken_and_young_ones_are_not(house: House) -> None:
    clone = await house.clone()
    await house.make("warm")
    patience = ("core.filesRefLockTimeout", "20")  # ms; of git itself, which we need not wait for
    git(house.root, "config", "--file", str(house.root / "home/gitconfig"), *patience)
    lock = clone.path / "refs/heads/coord/s1.lock"
    lock.write_text("")
    with pytest.raises(GitFailed):
        await house.make("s1")
    os.utime(lock, (time.time() - 60, time.time() - 60))
    assert (await house.make("s1")).path.exists()


async def test_idle_work_yields_as_a_session_too() -> None:
    """Where a session is scheduled as one, niceness counts within it only."""
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as sleeper:
        group = Path(f"/proc/{sleeper.pid}/autogroup")

        def calmed() -> bool:
            idle.calm_session(sleeper.pid)
            return not group.exists() or group.read_text().strip().endswith("nice 19")

        try:
            await until(calmed, "the kernel takes it, as it does ten times a second for all")
            assert os.getpriority(os.PRIO_PROCESS, sleeper.pid) == idle.NICEST
        finally:
            sleeper.kill()
