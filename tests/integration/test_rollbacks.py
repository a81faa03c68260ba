"""A worktree is made whole, or nothing is left: conflicts, faults, deaths (SECURITY G12)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from unittest.mock import AsyncMock, Mock

import pytest

from protocol.errors import Conflict, FailedPrecondition
from spoke import branches, layout, notes
from spoke.clones import Clones
from spoke.git import Git, GitFailed
from spoke.making import Maker
from spoke.notes import Note
from spoke.place import Place
from spoke.planning import Worktree
from spoke.worktrees import Worktrees
from tests.support.worktrees import House, git


async def test_one_branch_two_sessions(house: House) -> None:
    await house.make("warm")
    results = await asyncio.gather(
        house.make("s1", "coord/same"), house.make("s2", "coord/same"), return_exceptions=True
    )
    (lost,) = [result for result in results if isinstance(result, Conflict)]
    (won,) = [result for result in results if isinstance(result, Worktree)]
    assert lost.reason == "REF_CONFLICT"
    assert git(won.path, "branch", "--show-current") == "coord/same"
    assert house.traces("s2" if won.session == "s1" else "s1") == []


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("branch", ["taken", "taken/sub", "deep"])
async def test_branches_in_the_way(house: House, branch: str, packed: bool) -> None:
    made = await house.make("s0", "taken")
    git(made.path, "branch", "deep/er")
    if packed:
        git(made.path, "pack-refs", "--all")
    before = git(made.path, "for-each-ref")
    with pytest.raises(Conflict) as caught:
        await house.make("s1", branch)
    assert caught.value.reason == "REF_CONFLICT"
    assert house.traces("s1") == []
    assert git(made.path, "for-each-ref") == before
    assert (await house.make("s2")).path.exists()


async def test_an_occupied_path_is_not_ours_to_clear(house: House) -> None:
    clone = await house.clone()
    stranger = house.root / "worktrees" / clone.name / "s1"
    stranger.mkdir(parents=True)
    (stranger / "precious").write_text("x")
    with pytest.raises(Conflict, match="WORKTREE_EXISTS"):
        await house.make("s1")
    assert (stranger / "precious").read_text() == "x"
    assert await clone.objects("refs/heads/coord/s1") == [None]


@pytest.mark.parametrize("place", ["worktrees", "views", "pool"])
async def test_a_disk_that_cannot_be_written(house: House, place: str) -> None:
    clone = await house.clone()
    folder = house.root / place / clone.name
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where a directory must be")
    with pytest.raises(FailedPrecondition) as caught:
        await house.make("s1")
    assert caught.value.reason in ("NO_DISK", "WORKTREE_EXISTS")
    assert house.traces("s1") == []
    assert await clone.objects("refs/heads/coord/s1") == [None]
    folder.unlink()
    assert (await house.make("s1")).path.exists()


async def test_a_missing_object_rolls_back(house: House) -> None:
    """The checkout itself fails: the branch and the directories must go."""
    await house.make("warm")
    await house.drained_pool()
    clone = await house.clone()
    blob = git(house.source, "rev-parse", "HEAD:src/a.txt")
    loose = clone.path / "objects" / blob[:2] / blob[2:]
    kept = loose.read_bytes()
    loose.unlink()
    with pytest.raises(GitFailed):
        await house.make("s1")
    assert house.traces("s1") == []
    assert list((house.root / "pool" / clone.name).iterdir()) == []
    assert await clone.objects("refs/heads/coord/s1") == [None]
    loose.write_bytes(kept)
    assert (await house.make("s1")).path.exists()


def later_and_later() -> Iterator[int]:
    """Turns of the loop. A slow machine has thousands of them while a git works: the late ones lie
    farther apart."""
    turns = 0
    while True:
        yield turns
        turns += max(5, turns // 20)


async def test_cancelled_at_any_point_it_leaves_nothing(house: House) -> None:
    """Cancelled after some turns of the loop, and some more, until it comes through."""
    await house.make("warm")
    await house.drained_pool()
    clone = await house.clone()
    for turns in later_and_later():
        session = f"cut{turns}x"
        task = asyncio.ensure_future(house.make(session))
        for _ in range(turns):
            if task.done():
                break
            await asyncio.sleep(0)
        if task.done():
            await task
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert house.traces(session) == []
        assert await clone.objects(f"refs/heads/coord/{session}") == [None]
        assert list((house.root / "pool" / clone.name).iterdir()) == []
    assert not list(clone.path.glob("**/*.lock"))


async def test_what_a_dead_daemon_left_half_made_is_undone(house: House) -> None:
    made = await house.make("s1")
    await house.worktrees.wait_ready(house.repo)
    clone = await house.clone()
    (clone.path / "notes/s1.json").rename(clone.path / "notes/s1.begun")
    for name in ("gitdir", "HEAD"):  # as after a kill between two steps
        (clone.path / "commons/worktrees/s1" / name).unlink()
    clones = Clones(house.root, Git(house.root / "home"), allow_local=True)
    async with Worktrees(house.root, clones) as successor:
        assert house.traces("s1") == []
        assert list((house.root / "pool" / clone.name).iterdir()) == []
        again = await successor.make("s1", house.repo, "coord/s1", None)
        assert again == made
        assert git(again.path, "status", "--porcelain") == ""


STEPS = {
    "branch": (branches, "begin"),
    "files": (Place, "adopt"),
    "HEAD": (layout, "point"),
    "links": (layout, "link"),
    "note": (notes, "finish"),
}


@pytest.mark.parametrize("step", STEPS)
async def test_a_daemon_that_dies_while_it_takes_a_seat_leaves_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await house.make("warm")
    await house.worktrees.wait_ready(house.repo)
    with monkeypatch.context() as patch:
        patch.setattr(*STEPS[step], Mock(side_effect=KeyError("died")))
        patch.setattr(Maker, "undo", AsyncMock())
        with pytest.raises(KeyError, match="died"):
            await house.make("s1")
    clone = await house.clone()
    assert house.traces("s1") != []
    clones = Clones(house.root, Git(house.root / "home"), allow_local=True)
    async with Worktrees(house.root, clones) as successor:
        assert house.traces("s1") == []
        assert await clone.objects("refs/heads/coord/s1") == [None]
        again = await successor.make("s1", house.repo, "coord/s1", None)
        assert git(again.path, "status", "--porcelain") == ""
        assert [left.session for left in successor.leftovers()] == ["s1", "warm"]


async def test_a_daemon_that_dies_while_it_holds_a_branch_leaves_no_lock(house: House) -> None:
    await house.make("warm")
    await house.worktrees.wait_ready(house.repo)
    clone = await house.clone()
    (base,) = await clone.objects("refs/heads/coord/warm")
    assert base is not None
    notes.begin(clone.path, Note("s1", house.repo, "coord/s1", base, existing=False, pooled=True))
    lock = clone.path / "refs/heads/coord/s1.lock"
    branch = next(path for path in await house.papers() if path.suffix == ".branch")
    os.utime(branch)
    lock.hardlink_to(branch)
    another = clone.path / "refs/heads/coord/warm.lock"
    another.touch()
    clones = Clones(house.root, Git(house.root / "home"), allow_local=True)
    async with Worktrees(house.root, clones) as successor:
        again = await successor.make("s1", house.repo, "coord/s1", None)
        assert git(again.path, "status", "--porcelain") == ""
    assert another.exists()
