"""Worktrees that were made ready: taken at any base, with their papers, and nothing shows of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import Mock

import pytest

from protocol.errors import Conflict
from spoke import branches, making, notes
from spoke.clones import Clone
from spoke.notes import Note
from spoke.worktrees import POOL_SIZE, Worktrees
from tests.support.worktrees import House, commit, git


async def test_pooled_worktrees_follow_the_base(house: House) -> None:
    first = git(house.source, "rev-parse", "HEAD~1")
    await house.make("s1")
    await house.worktrees.wait_ready(house.repo)
    newer = commit(house.source, "new.txt")
    two = await house.make("s2")
    three = await house.make("s3", base=first[:12])
    assert (two.pooled, three.pooled) == (True, True)
    assert (two.base_commit, three.base_commit) == (newer, first)
    assert (two.path / "new.txt").exists()
    assert not (three.path / "src").exists()
    for made in (two, three):
        assert git(made.path, "status", "--porcelain") == ""
        assert git(made.path, "rev-parse", "HEAD") == made.base_commit
        assert git(made.path, "fsck") == ""


async def test_a_seat_is_taken_with_the_papers_that_were_drawn_up(house: House) -> None:
    await house.make("warm")
    await house.settled_pool()
    clone = await house.clone()
    drawn = {path.stat().st_ino for path in await house.papers()}
    assert len(drawn) == 3 * POOL_SIZE
    assert (await house.make("s1")).pooled
    heads = [clone.path / folder / "coord/s1" for folder in ("refs/heads", "logs/refs/heads")]
    assert {path.stat().st_ino for path in (*heads, notes.path(clone.path, "s1"))} < drawn
    assert len(await house.papers()) == 3 * (POOL_SIZE - 1)


async def test_papers_of_a_seat_that_git_had_to_help_with_are_thrown_away(house: House) -> None:
    await house.make("warm")
    await house.worktrees.wait_ready(house.repo)
    drawn = await house.papers()
    clone = await house.clone()
    (clone.path / "packed-refs").write_text(f"{'1' * 40} refs/heads/coord/s1/below\n")
    with pytest.raises(Conflict, match="REF_CONFLICT"):
        await house.make("s1")
    left = drawn & await house.papers()
    assert len(left) == 3 * (POOL_SIZE - 1)
    async with Worktrees(house.root, house.clones):  # as the next daemon does
        assert await house.papers() == set()


@pytest.mark.parametrize("branch", ["b", "b" * 24, f"a/long/one/{'b' * 90}"])
async def test_what_says_where_a_pooled_worktree_is_has_nothing_of_the_pool(
    house: House, branch: str
) -> None:
    await house.make("warm")
    await house.worktrees.wait_ready(house.repo)
    made = await house.make("s1", branch)
    assert made.pooled
    place = house.worktrees.place(made.path)
    assert [path.read_text() for path in place.rewritten()] == [
        f"ref: refs/heads/{branch}\n",
        f"{place.view}\n",
        f"{place.tree}/.git\n",
        f"gitdir: {place.admin}\n",
    ]
    assert git(made.path, "branch", "--show-current") == branch


async def test_it_is_not_made_before_git_has_made_a_branch_that_was_left_to_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.make("warm")
    await house.worktrees.wait_ready(house.repo)
    clone = await house.clone()
    create, seen = branches.create, list[Note | None]()

    async def watched(clone: Clone, note: Note) -> None:
        seen.append(notes.read(clone.path, note.session))
        await create(clone, note)

    monkeypatch.setattr(branches, "begin", Mock(return_value=False))
    monkeypatch.setattr(branches, "create", watched)
    made = await house.make("s1")
    after = notes.read(clone.path, "s1")
    assert [(note.made, note.pooled) for note in (*seen, after) if note] == [
        (False, True),
        (True, True),
    ]
    assert git(made.path, "branch", "--show-current") == "coord/s1"


async def test_what_was_rewritten_is_brought_to_the_disk_soon(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: asyncio.Queue[set[Path]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def noted(paths: Sequence[Path]) -> None:
        loop.call_soon_threadsafe(written.put_nowait, set(paths))

    monkeypatch.setattr(making, "PAUSE", 0)
    monkeypatch.setattr(making, "write_out", noted)
    clone = await house.clone()
    for session in ("slow", "quick"):
        made = await house.make(session)
        files = {*house.worktrees.place(made.path).rewritten(), notes.path(clone.path, session)}
        assert await asyncio.wait_for(written.get(), 20) == files
        await house.worktrees.wait_ready(house.repo)
    assert made.pooled
