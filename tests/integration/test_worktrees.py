"""Worktrees with real git: poison, races, rollbacks, cancellation, removal (SECURITY G1-G13)."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest

from protocol.errors import CallError, Conflict, FailedPrecondition, InvalidArgument, NotFound
from spoke import branches, changes, idle, inspection, layout, making, notes, saving
from spoke.clones import Clone, Clones
from spoke.desk import Desk
from spoke.flight import Flights
from spoke.git import Git, GitFailed
from spoke.making import Maker
from spoke.notes import Note
from spoke.place import Place
from spoke.planning import Worktree
from spoke.removal import Wish
from spoke.saving import Proof
from spoke.worktrees import POOL_SIZE, Worktrees

AGENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "agent",
    "GIT_AUTHOR_EMAIL": "agent@localhost",
    "GIT_COMMITTER_NAME": "agent",
    "GIT_COMMITTER_EMAIL": "agent@localhost",
}


def git(cwd: Path, *argv: str, check: bool = True) -> str:
    """git as an agent or a person runs it."""
    done = subprocess.run(["git", *argv], cwd=cwd, env=AGENT, capture_output=True, text=True)
    assert not check or done.returncode == 0, (argv, done.stderr)
    return done.stdout.strip()


def commit(repo: Path, name: str, text: str = "x\n") -> str:
    path = repo / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    git(repo, "add", name)
    git(repo, "commit", "-qm", f"add {name}")
    return git(repo, "rev-parse", "HEAD")


class House:
    """A source repository and a spoke's git rooms."""

    def __init__(self, root: Path, worktrees: Worktrees, clones: Clones, source: Path) -> None:
        self.root = root
        self.worktrees = worktrees
        self.clones = clones
        self.source = source
        self.repo = str(source)

    async def clone(self) -> Clone:
        return await self.clones.get(self.repo)

    async def make(
        self, session: str, branch: str = "", base: str | None = None, *, existing: bool = False
    ) -> Worktree:
        return await self.worktrees.make(
            session, self.repo, branch or f"coord/{session}", base, existing=existing
        )

    async def drained_pool(self) -> None:
        """From here on, worktrees are made fresh."""
        await self.worktrees.wait_ready(self.repo)
        pool = self.worktrees._pool
        pool._size = 0
        for ready in pool._ready.values():
            while ready:
                ready.pop().place.discard(self.worktrees._trash)

    def traces(self, session: str) -> list[str]:
        """Everything on disk that is named after the session, what was removed left out."""
        found: list[str] = []
        for folder, inner, names in os.walk(self.root):
            inner[:] = [name for name in inner if name not in ("trash", "kept")]
            found += [f"{folder}/{name}" for name in (*inner, *names) if session in name]
        return sorted(found)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    repo = tmp_path / "source"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main", ".")
    commit(repo, "README.md", "hello\n")
    commit(repo, "src/a.txt", "a\n")
    git(repo, "tag", "v1")
    git(repo, "branch", "other")
    return repo


@pytest.fixture
async def house(tmp_path: Path, source: Path) -> AsyncIterator[House]:
    root = tmp_path / "spoke"
    clones = Clones(root, Git(root / "home"), allow_local=True)
    async with Worktrees(root, clones) as worktrees:
        yield House(root, worktrees, clones, source)


# --- the worktree itself


async def test_a_worktree_is_on_its_branch_at_its_base(house: House) -> None:
    tip = git(house.source, "rev-parse", "main")
    made = await house.make("s1")
    assert made.path == house.root / "worktrees" / (await house.clone()).name / "s1"
    assert (made.branch, made.base_commit, made.pooled) == ("coord/s1", tip, False)
    assert git(made.path, "status", "--porcelain=v2", "--branch").splitlines() == [
        f"# branch.oid {tip}",
        "# branch.head coord/s1",
    ]
    assert (made.path / "src/a.txt").read_text() == "a\n"
    assert not list((await house.clone()).path.glob("**/*.lock"))


async def test_who_commits_is_who_the_source_says(house: House) -> None:
    name = 'Ann "the \\ Smith'
    git(house.source, "config", "user.name", name)
    git(house.source, "config", "user.email", "ann@example.com")
    git(house.source, "config", "alias.st", "!false")
    one = (await house.make("s1")).path
    said = [git(one, "config", f"user.{key}") for key in ("name", "email")]
    assert said == [name, "ann@example.com"]
    assert git(one, "config", "alias.st", check=False) == "", "and nothing else is taken"
    git(house.source, "config", "user.name", "Bob")
    git(house.source, "config", "--unset", "user.email")
    await house.drained_pool()
    two = (await house.make("s2")).path
    assert git(two, "config", "user.name") == "Bob"
    assert git(two, "config", "user.email", check=False) == ""


async def test_a_name_that_would_be_more_than_a_name_is_not_taken(house: House) -> None:
    git(house.source, "config", "user.name", "Ann\n[alias]\n\tst = !false")
    made = (await house.make("s1")).path
    assert git(made, "config", "user.name", check=False) == ""
    assert git(made, "config", "alias.st", check=False) == ""


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


@pytest.mark.parametrize("base", ["main", "v1", "other", None])
async def test_bases(house: House, base: str | None) -> None:
    made = await house.make("s1", base=base)
    assert made.base_commit == git(house.source, "rev-parse", base or "HEAD")


async def test_a_base_can_be_another_sessions_branch(house: House) -> None:
    one = await house.make("s1")
    tip = commit(one.path, "one.txt")
    two = await house.make("s2", base="coord/s1")
    assert two.base_commit == tip


@pytest.mark.parametrize("base", ["mian", "f" * 40, "--output=/x", "HEAD:README.md", "v1^{tree}"])
async def test_bad_bases_leave_nothing(house: House, base: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await house.make("s1", base=base)
    assert caught.value.reason == "BAD_REF"
    if base == "mian":
        assert "main" in caught.value.advice
    assert house.traces("s1") == []


async def test_a_source_without_commits(house: House, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q", "-b", "main", ".")
    with pytest.raises(InvalidArgument, match="BAD_REF"):
        await house.worktrees.make("s1", str(empty), "b", None)
    tip = commit(empty, "x")
    made = await house.worktrees.make("s1", str(empty), "b", None)
    assert made.base_commit == tip


async def test_a_shallow_source(house: House, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{house.source}", "shallow")
    made = await house.worktrees.make("s1", str(tmp_path / "shallow"), "b", None)
    assert git(made.path, "log", "--format=%s") == "add src/a.txt"
    assert git(made.path, "fsck") == ""


async def test_a_source_that_is_a_linked_worktree(house: House, tmp_path: Path) -> None:
    git(house.source, "worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked"))
    repo = str(tmp_path / "linked")
    await house.worktrees.make("s1", repo, "b1", None)
    tip = commit(tmp_path / "linked", "more")
    made = await house.worktrees.make("s2", repo, "b2", None)
    assert made.base_commit == tip


async def test_fresh_fetches_only_when_something_changed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = await house.clone()
    fetched = 0
    fetch = clone.fetch

    async def counted() -> None:
        nonlocal fetched
        fetched += 1
        await fetch()

    monkeypatch.setattr(clone, "fetch", counted)
    await clone.fresh()
    assert fetched == 0
    commit(house.source, "x")
    await asyncio.gather(*(clone.fresh() for _ in range(5)))
    assert fetched == 1
    git(house.source, "pack-refs", "--all")
    git(house.source, "branch", "later")
    await clone.fresh()
    assert await clone.resolve("later") == git(house.source, "rev-parse", "later")


@pytest.mark.parametrize("base", [None, "main"])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_base_that_did_not_move_needs_no_fetch(
    house: House, monkeypatch: pytest.MonkeyPatch, base: str | None, packed: bool
) -> None:
    clone = await house.clone()
    git(house.source, "branch", "news")
    if packed:
        git(house.source, "pack-refs", "--all")
    with monkeypatch.context() as patch:
        patch.setattr(clone, "fetch", None)
        await clone.know(base)
    tip = commit(house.source, "x")
    await clone.know(base)
    assert await clone.resolve(base) == tip
    assert await clone.resolve("news") != tip


async def test_a_base_that_no_branch_is_needs_to_be_asked_for(house: House) -> None:
    clone = await house.clone()
    git(house.source, "tag", "v2", commit(house.source, "x"))
    await clone.know("v2")
    assert await clone.resolve("v2") == git(house.source, "rev-parse", "v2")
    git(house.source, "branch", "-D", "other")
    await clone.know("other")
    with pytest.raises(InvalidArgument):
        await clone.resolve("other")
    with pytest.raises(InvalidArgument):
        await clone.know("../../HEAD")


async def test_first_use_at_once_makes_one_clone(house: House) -> None:
    clones = await asyncio.gather(*(house.clones.get(house.repo) for _ in range(10)))
    assert len({id(clone) for clone in clones}) == 1
    assert house.clones.names() == (clones[0].name,)


async def test_32_at_once(house: House) -> None:
    made = await asyncio.gather(*(house.make(f"s{n:02}") for n in range(32)))
    assert len({worktree.path for worktree in made}) == 32
    for worktree in made:
        assert git(worktree.path, "status", "--porcelain") == ""
        assert git(worktree.path, "branch", "--show-current") == worktree.branch
    assert {left.session for left in house.worktrees.leftovers()} == {f"s{n:02}" for n in range(32)}


async def test_asked_again_it_gives_the_same(house: House) -> None:
    one, two = await asyncio.gather(house.make("s1"), house.make("s1"))
    assert one == two
    with pytest.raises(Conflict, match="WORKTREE_EXISTS"):
        await house.make("s1", "coord/else")


async def test_resume_on_the_same_branch(house: House) -> None:
    made = await house.make("s1")
    tip = commit(made.path, "work.txt")
    await house.worktrees.remove(made.path)
    again = await house.make("s1", existing=True)
    assert again.base_commit == made.base_commit
    assert git(again.path, "rev-parse", "HEAD") == tip
    assert (again.path / "work.txt").exists()
    with pytest.raises(Conflict, match="REF_CONFLICT"):
        await house.make("s2", "coord/s1", existing=True)
    with pytest.raises(InvalidArgument, match="BAD_REF"):
        await house.make("s2", "coord/nothing", existing=True)
    assert house.traces("s2") == []


# --- rollback


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


async def test_cancelled_at_any_point_it_leaves_nothing(house: House) -> None:
    """Cancelled after one turn of the loop, two, three, ... until it comes through."""
    await house.make("warm")
    await house.drained_pool()
    clone = await house.clone()
    for turns in range(0, 4_000, 5):
        session = f"cut{turns}x"
        task = asyncio.ensure_future(house.make(session))
        for _ in range(turns):
            if task.done():
                break
            await asyncio.sleep(0)
        if task.done():
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert house.traces(session) == []
        assert await clone.objects(f"refs/heads/coord/{session}") == [None]
        assert list((house.root / "pool" / clone.name).iterdir()) == []
    await task
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
    branch = next(path for path in await _papers(house) if path.suffix == ".branch")
    os.utime(branch)
    lock.hardlink_to(branch)
    another = clone.path / "refs/heads/coord/warm.lock"
    another.touch()
    clones = Clones(house.root, Git(house.root / "home"), allow_local=True)
    async with Worktrees(house.root, clones) as successor:
        again = await successor.make("s1", house.repo, "coord/s1", None)
        assert git(again.path, "status", "--porcelain") == ""
    assert another.exists()


async def _papers(house: House) -> set[Path]:
    return set(((await house.clone()).path / "papers").glob("*"))


async def test_a_seat_is_taken_with_the_papers_that_were_drawn_up(house: House) -> None:
    await house.make("warm")
    await house.worktrees.wait_ready(house.repo)
    clone = await house.clone()
    drawn = {path.stat().st_ino for path in await _papers(house)}
    assert len(drawn) == 3 * POOL_SIZE
    assert (await house.make("s1")).pooled
    heads = [clone.path / folder / "coord/s1" for folder in ("refs/heads", "logs/refs/heads")]
    assert {path.stat().st_ino for path in (*heads, notes.path(clone.path, "s1"))} < drawn
    assert len(await _papers(house)) == 3 * (POOL_SIZE - 1)


async def test_papers_of_a_seat_that_git_had_to_help_with_are_thrown_away(house: House) -> None:
    await house.make("warm")
    await house.worktrees.wait_ready(house.repo)
    drawn = await _papers(house)
    clone = await house.clone()
    (clone.path / "packed-refs").write_text(f"{'1' * 40} refs/heads/coord/s1/below\n")
    with pytest.raises(Conflict, match="REF_CONFLICT"):
        await house.make("s1")
    left = drawn & await _papers(house)
    assert len(left) == 3 * (POOL_SIZE - 1)
    async with Worktrees(house.root, house.clones):  # as the next daemon does
        assert await _papers(house) == set()


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


# --- cancellation kills git


def running(word: str) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("how", ["cancel", "timeout"])
async def test_a_stuck_fetch_dies_with_its_children(
    house: House, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    os.mkfifo(house.source / ".git/packed-refs")  # upload-pack waits for ever to open it
    if how == "timeout":
        monkeypatch.setattr("spoke.clones.FETCH_TIMEOUT", 0.5)
    task = asyncio.ensure_future(house.make("s1"))
    if how == "cancel":
        await until(lambda: any("upload-pack" in _line(pid) for pid in running(house.repo)))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        with pytest.raises(CallError, match="GIT_TIMEOUT"):
            await task
    assert running(house.repo) == []
    assert list((house.root / "clones").iterdir()) == []
    (house.source / ".git/packed-refs").unlink()
    assert (await house.make("s1")).path.exists()


def _line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


async def test_git_that_ignores_term_is_killed_and_its_locks_go(house: House) -> None:
    clone = await house.clone()
    lock = clone.path / "refs/heads/stuck.lock"
    script = f"trap '' TERM; touch {lock}; while :; do sleep 1; done"
    task = asyncio.ensure_future(clone.run(["-c", f"alias.stuck=!{script}", "stuck"]))
    await until(lock.exists)
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
    lock = clone.path / "refs/heads/coord/s1.lock"
    lock.write_text("")
    with pytest.raises(GitFailed):
        await house.make("s1")
    os.utime(lock, (time.time() - 60, time.time() - 60))
    assert (await house.make("s1")).path.exists()


# --- poison


HOOKS = (
    "applypatch-msg",
    "commit-msg",
    "post-applypatch",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-receive",
    "post-rewrite",
    "post-update",
    "pre-applypatch",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "pre-rebase",
    "pre-receive",
    "prepare-commit-msg",
    "proc-receive",
    "push-to-checkout",
    "reference-transaction",
    "update",
    "fsmonitor-watchman",
)


def poison(made: Worktree, marker: Path) -> None:
    """All that an agent can set by ordinary git commands and files in its worktree."""
    evil = marker.parent / "evil"
    evil.write_text(f'#!/bin/sh\necho "$0 $*" >> {marker}\ncat\n')
    evil.chmod(0o755)
    hooks = marker.parent / "evil-hooks"
    hooks.mkdir(exist_ok=True)
    for folder in (hooks, Path(git(made.path, "rev-parse", "--git-path", "hooks"))):
        for name in HOOKS:
            (made.path / folder / name).write_bytes(evil.read_bytes())
            (made.path / folder / name).chmod(0o755)
    (made.path / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    info = Path(git(made.path, "rev-parse", "--git-path", "info/attributes"))
    (made.path / info).write_text("* filter=evil diff=evil merge=evil\n")
    bare = made.path / "embedded"
    git(made.path, "init", "-q", "--bare", str(bare))
    inner = made.path / "nested"
    git(made.path, "init", "-q", str(inner))
    (inner / "f").write_text("x")
    git(inner, "add", "f")
    git(inner, "commit", "-qm", "f")
    git(made.path, "add", "nested")
    (made.path / ".gitmodules").write_text(
        '[submodule "nested"]\n\tpath = nested\n\turl = ext::sh -c touch% x\n\tignore = none\n'
    )
    (inner / "f").write_text("y")
    for repo in (made.path, bare, inner):
        for key, value in (
            ("filter.evil.clean", str(evil)),
            ("filter.evil.smudge", str(evil)),
            ("filter.evil.process", str(evil)),
            ("filter.evil.required", "true"),
            ("diff.evil.textconv", str(evil)),
            ("diff.evil.command", str(evil)),
            ("diff.external", str(evil)),
            ("merge.evil.driver", str(evil)),
            ("core.sshCommand", str(evil)),
            ("core.gitProxy", str(evil)),
            ("core.pager", str(evil)),
            ("core.editor", str(evil)),
            ("credential.helper", f"!{evil}"),
            ("gpg.program", str(evil)),
            ("commit.gpgSign", "true"),
            ("uploadpack.packObjectsHook", str(evil)),
            ("remote.origin.uploadpack", str(evil)),
            ("alias.status", f"!{evil}"),
            ("core.hooksPath", str(hooks)),
            ("core.fsmonitor", str(evil)),
            ("core.worktree", "/"),
            ("extensions.worktreeConfig", "true"),
        ):
            git(repo, "config", key, value)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


async def test_the_poison_works_on_the_agent_itself(house: House, marker: Path) -> None:
    """Else the next test would prove nothing."""
    made = await house.make("s1")
    poison(made, marker)
    git(made.path, "config", "--unset", "core.worktree")
    git(made.path, "-c", "core.pager=cat", "status", check=False)
    assert marker.exists()


@pytest.mark.parametrize("pool", [True, False])
async def test_poison_runs_nowhere_in_the_daemon(house: House, marker: Path, pool: bool) -> None:
    made = await house.make("s1")
    bystander = await house.make("s2")
    if not pool:
        await house.drained_pool()
    await house.worktrees.wait_ready(house.repo)
    poison(made, marker)
    marker.unlink(missing_ok=True)
    work = house.worktrees
    (made.path / "README.md").write_text("changed\n")
    (made.path / "untracked.txt").write_text("new\n")

    seen = await work.inspect(made.path)
    assert seen.dirty
    assert "README.md" in seen.dirty_paths
    assert not seen.tampered
    saved = await work.save("s1", made.path, "refs/coord/wip/s1")
    assert saved is not None
    clone = await house.clone()
    assert (await clone.run(["show", f"{saved}:untracked.txt"])) == "new\n"
    commit(house.source, "later.txt")
    await clone.fresh()
    await clone.resolve("main")
    await clone.resolve("other")
    third = await house.make("s3")
    assert third.pooled == pool
    await work.save("s2", bystander.path, "refs/coord/wip/s2")
    assert not (await work.inspect(bystander.path)).dirty
    await work.wait_ready(house.repo)
    await work.remove(made.path, delete_branch=True)
    await work.remove(third.path, delete_branch=True)
    assert await work.wait_erased(20)
    assert not marker.exists(), marker.read_text()
    # nor in another agent's worktree
    git(bystander.path, "status")
    commit(bystander.path, "mine.txt")
    assert not marker.exists(), marker.read_text()


async def test_poison_through_a_worktree_the_agent_added(house: House, marker: Path) -> None:
    """Its common directory is commons/, which the daemon does not read and keeps empty."""
    made = await house.make("s1")
    added = house.root.parent / "added"
    git(made.path, "worktree", "add", "-q", "-b", "mine", str(added))
    git(added, "config", "core.fsmonitor", f"touch {marker} #", check=False)
    git(added, "config", "filter.evil.clean", f"touch {marker}; cat", check=False)
    (made.path / ".gitattributes").write_text("* filter=evil\n")
    (made.path / "README.md").write_text("changed\n")
    seen = await house.worktrees.inspect(made.path)
    await house.worktrees.save("s1", made.path, "refs/coord/wip/s1")
    clone = await house.clone()
    assert "fsmonitor" not in (clone.path / "commons/config").read_text()
    assert seen.tampered == (os.geteuid() == 0)  # others cannot even write there
    assert not marker.exists()


async def test_a_broken_seal_is_put_back_and_told(house: House, marker: Path) -> None:
    made = await house.make("s1")
    clone = await house.clone()
    control = clone.control
    (control / "config").write_text(f'[filter "evil"]\n\tclean = touch {marker}\n')
    (control / "info/attributes").write_text("* filter=evil\n")
    (control / "hooks/reference-transaction").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (control / "hooks/reference-transaction").chmod(0o755)
    (control / "objects").unlink()
    (control / "objects").symlink_to("/nonexistent")
    (made.path / "README.md").write_text("changed\n")
    seen = await house.worktrees.inspect(made.path)
    assert seen.tampered
    assert seen.dirty
    await house.worktrees.save("s1", made.path, "refs/coord/wip/s1")
    assert not marker.exists()
    assert list((control / "hooks").iterdir()) == []
    assert "evil" not in (control / "config").read_text()


async def test_alternates_run_nothing(house: House, marker: Path, tmp_path: Path) -> None:
    made = await house.make("s1")
    clone = await house.clone()
    other = tmp_path / "elsewhere"
    git(tmp_path, "init", "-q", "--bare", str(other))
    git(other, "config", "core.fsmonitor", f"touch {marker}")
    git(other, "config", "core.alternateRefsCommand", f"touch {marker}")
    (clone.path / "objects/info/alternates").write_text(f"{other}/objects\n")
    commit(house.source, "later.txt")
    assert not (await house.worktrees.inspect(made.path)).dirty
    assert (await house.make("s2")).path.exists()
    assert not marker.exists()


async def test_replaced_objects_do_not_fool_the_daemon(house: House) -> None:
    made = await house.make("s1")
    fake = commit(made.path, "fake.txt")
    git(made.path, "replace", made.base_commit, fake)
    await house.drained_pool()
    two = await house.make("s2")
    assert not (two.path / "fake.txt").exists()


async def test_the_environment_of_the_daemon_does_not_pass(
    house: House, monkeypatch: pytest.MonkeyPatch, marker: Path
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"touch {marker}")
    monkeypatch.setenv("GIT_TRACE", str(marker))
    made = await house.make("s1")
    assert not (await house.worktrees.inspect(made.path)).dirty
    assert not marker.exists()


# --- the agent's own git


def test_idle_work_yields_as_a_session_too() -> None:
    """Where a session is scheduled as one, niceness counts within it only."""
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as sleeper:
        try:
            idle.calm_session(sleeper.pid)
            assert os.getpriority(os.PRIO_PROCESS, sleeper.pid) == idle.NICEST
            group = Path(f"/proc/{sleeper.pid}/autogroup")
            assert not group.exists() or group.read_text().strip().endswith("nice 19")
        finally:
            sleeper.kill()


async def test_an_agents_git_works(house: House, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(house.source), str(bare))
    one = await house.worktrees.make("s1", str(bare), "coord/s1", None)
    two = await house.worktrees.make("s2", str(bare), "coord/s2", None)
    tip = commit(one.path, "one.txt")
    git(one.path, "branch", "side")
    git(one.path, "config", "user.signingKey", "mine")
    (one.path / "README.md").write_text("stashed\n")
    git(one.path, "stash")
    git(one.path, "stash", "pop")
    git(one.path, "checkout", "-q", "README.md")
    git(one.path, "log", "--all", "--oneline")
    git(one.path, "pack-refs", "--all")
    git(one.path, "gc", "-q")
    git(one.path, "fetch", "-q")
    git(one.path, "push", "-q")
    assert git(bare, "rev-parse", "coord/s1") == tip
    git(two.path, "merge", "-q", "--ff-only", "origin/coord/s1")
    assert git(two.path, "config", "--get", "user.signingKey", check=False) == ""
    listed = git(one.path, "worktree", "list", "--porcelain")
    assert f"worktree {one.path}\n" in listed
    assert f"worktree {two.path}\n" in listed
    git(one.path, "worktree", "prune", "--expire", "now")
    git(two.path, "status")
    assert "already checked out" in _refused(one.path, "checkout", "coord/s2")
    git(one.path, "branch", "-d", "side")
    git(one.path, "rebase", "-q", "origin/main")
    git(one.path, "switch", "-q", "-c", "topic")
    assert git(one.path, "fsck", "--no-dangling") == ""
    three = await house.worktrees.make("s3", str(bare), "coord/s3", "coord/s1")
    assert three.base_commit == tip


def _refused(cwd: Path, *argv: str) -> str:
    done = subprocess.run(["git", *argv], cwd=cwd, env=AGENT, capture_output=True, text=True)
    assert done.returncode != 0
    return done.stderr


# --- inspection and saving


async def test_inspection_follows_the_work(house: House) -> None:
    look = house.worktrees.inspect
    made = await house.make("s1")
    seen = await look(made.path)
    assert (seen.head, seen.base, seen.dirty) == (made.base_commit, made.base_commit, False)
    assert (seen.ahead, seen.merged, seen.pushed, seen.saved_ref) == (0, True, True, None)
    commit(made.path, "a")
    commit(made.path, "b")
    seen = await look(made.path)
    assert (seen.ahead, seen.merged, seen.pushed, seen.dirty) == (2, False, False, False)
    git(made.path, "push", "-q", "origin", "coord/s1")
    seen = await look(made.path)
    assert (seen.ahead, seen.merged, seen.pushed) == (0, False, True)
    git(house.source, "merge", "-q", "coord/s1")
    await (await house.clone()).fresh()
    assert (await look(made.path)).merged
    (made.path / "dirty").mkdir()
    for n in range(30):
        (made.path / f"dirty-{n}").write_text("x")
    seen = await look(made.path)
    assert seen.dirty
    assert len(seen.dirty_paths) == 20


async def test_commits_of_the_branch_count_when_head_is_elsewhere(house: House) -> None:
    made = await house.make("s1")
    commit(made.path, "a")
    git(made.path, "checkout", "-q", "--detach", "origin/main")
    assert (await house.worktrees.inspect(made.path)).ahead == 1


async def test_hidden_changes_are_seen(house: House) -> None:
    made = await house.make("s1")
    git(made.path, "update-index", "--assume-unchanged", "README.md")
    git(made.path, "update-index", "--skip-worktree", "src/a.txt")
    (made.path / "README.md").write_text("hidden\n")
    (made.path / "src/a.txt").write_text("hidden\n")
    assert git(made.path, "status", "--porcelain") == ""
    seen = await house.worktrees.inspect(made.path)
    assert set(seen.dirty_paths) == {"README.md", "src/a.txt"}
    saved = await house.worktrees.save("s1", made.path, "refs/coord/wip/s1")
    clone = await house.clone()
    assert await clone.run(["show", f"{saved}:src/a.txt"]) == "hidden\n"
    assert await clone.run(["show", f"{saved}:README.md"]) == "hidden\n"


async def test_saving_keeps_all_and_changes_nothing(house: House) -> None:
    commit(house.source, ".gitignore", "*.log\n")
    commit(house.source, "gone.txt")
    commit(house.source, "folder/inner.txt")
    commit(house.source, "file.txt")
    made = await house.make("s1")
    save = house.worktrees.save
    ref = "refs/coord/wip/s1"
    assert await save("s1", made.path, ref) is None
    (made.path / "gone.txt").unlink()
    (made.path / "README.md").write_text("changed\n")
    (made.path / "folder/inner.txt").unlink()
    (made.path / "folder").rmdir()
    (made.path / "folder").symlink_to("src")
    (made.path / "file.txt").unlink()
    (made.path / "file.txt").mkdir()
    (made.path / "file.txt/now").write_text("a folder\n")
    (made.path / "noise.log").write_text("ignored")
    (made.path / "new \udcff\n.txt").write_text("odd name\n")
    os.mkfifo(made.path / "fifo")
    git(made.path, "add", "README.md")
    index = (await house.clone()).path / "commons/worktrees/s1/index"
    before = (
        index.read_bytes(),
        git(made.path, "status", "--porcelain"),
        sorted(made.path.iterdir()),
    )
    inode = index.stat().st_ino
    saved = await save("s1", made.path, ref)
    assert index.stat().st_ino == inode
    assert (
        index.read_bytes(),
        git(made.path, "status", "--porcelain"),
        sorted(made.path.iterdir()),
    ) == before
    clone = await house.clone()
    assert (await clone.objects(ref))[0] == saved
    files = (await clone.run(["ls-tree", "-r", "-z", "--name-only", str(saved)])).split("\0")
    assert set(files) == {
        "", ".gitignore", "README.md", "file.txt/now", "folder", "new \udcff\n.txt", "src/a.txt",
    }  # fmt: skip
    assert await clone.run(["show", f"{saved}:README.md"]) == "changed\n"
    assert await save("s1", made.path, ref) == saved  # the same again costs no new commit
    assert (await house.worktrees.inspect(made.path)).saved_ref == ref
    with pytest.raises(InvalidArgument):
        await save("s1", made.path, "refs/heads/main")
    with pytest.raises(NotFound):
        await save("s2", made.path, ref)


async def test_git_looks_again_only_where_something_was_touched(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await house.make("s1")
    (made.path / "new.txt").write_text("work\n")
    looks: list[Proof] = []
    look = saving.look

    async def counted(desk: Desk) -> Proof:
        looks.append(await look(desk))
        return looks[-1]

    monkeypatch.setattr(saving, "look", counted)
    monkeypatch.setattr(inspection, "look", counted)
    old = time.time_ns() - 10**9
    monkeypatch.setattr("spoke.changes._touched", lambda _: old)  # all of it is a second old
    monkeypatch.setattr("spoke.changes._changed", lambda _: old)
    await house.worktrees.save("s1", made.path, "refs/coord/wip/s1")
    assert (await house.worktrees.inspect(made.path)).saved
    assert len(looks) == 1, "nothing was touched since it was saved"
    monkeypatch.undo()
    monkeypatch.setattr(saving, "look", counted)
    monkeypatch.setattr(inspection, "look", counted)
    (made.path / "new.txt").write_text("more\n")
    seen = await house.worktrees.inspect(made.path)
    assert (len(looks), seen.saved, seen.dirty_paths) == (2, False, ("new.txt",))
    (made.path / "new.txt").write_text("last\n")
    removed = await house.worktrees.take_away(made.path, Wish())
    clone = await house.clone()
    assert await clone.run(["show", f"{removed.saved_ref}:new.txt"]) == "last\n"


@pytest.mark.parametrize(("files", "looks"), [(3, False), (changes.MOST, True)])
def test_where_many_files_are_nobody_looks_at_each(tmp_path: Path, files: int, looks: bool) -> None:
    place = Place(tmp_path / "tree", tmp_path / "view", tmp_path / "admin")
    place.admin.mkdir()
    (place.admin / "index").write_bytes(struct.pack(">4sII", b"DIRC", 2, files))
    late = changes.now()
    late = dataclasses.replace(late, at=late.at + 10**12)
    assert changes.changed(place, late) is looks


async def test_saving_a_merge_conflict_and_unpushed_commits(house: House) -> None:
    made = await house.make("s1")
    commit(house.source, "README.md", "theirs\n")
    tip = commit(made.path, "README.md", "ours\n")
    ref = "refs/coord/wip/s1"
    assert await house.worktrees.save("s1", made.path, ref) == tip
    git(made.path, "fetch", "-q")
    git(made.path, "merge", "origin/main", check=False)
    saved = await house.worktrees.save("s1", made.path, ref)
    clone = await house.clone()
    assert "<<<<<<<" in await clone.run(["show", f"{saved}:README.md"])
    assert (await house.worktrees.inspect(made.path)).dirty


# --- removal


async def test_removal_leaves_nothing(house: House) -> None:
    made = await house.make("s1")
    removed = await house.worktrees.remove(made.path, delete_branch=True)
    assert (removed.existed, removed.branch_kept) == (True, None)
    assert house.traces("s1") == []
    assert await house.worktrees.wait_erased(20)
    assert list((house.root / "trash").iterdir()) == []
    assert house.worktrees.leftovers() == ()
    again = await house.worktrees.remove(made.path)
    assert not again.existed
    assert (await house.make("s1")).path.exists()


async def test_a_branch_with_the_only_copy_is_kept(house: House) -> None:
    made = await house.make("s1")
    tip = commit(made.path, "work")
    removed = await house.worktrees.remove(made.path, delete_branch=True)
    assert removed.branch_kept == "coord/s1"
    clone = await house.clone()
    assert await clone.objects("refs/heads/coord/s1") == [tip]
    await clone.run(["update-ref", "refs/coord/wip/s1", tip])
    removed = await house.worktrees.remove(
        (await house.make("s1", existing=True)).path, delete_branch=True
    )
    assert removed.branch_kept is None


async def test_removal_never_follows_a_link(house: House, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    made = await house.make("s1")
    (made.path / "link").symlink_to(outside)
    (made.path / "src/deep").symlink_to(outside, target_is_directory=True)
    (made.path / "locked").mkdir()
    (made.path / "locked/f").write_text("x")
    (made.path / "locked").chmod(0)
    deep = made.path
    for _ in range(300):
        deep = deep / "ddddddd"
    subprocess.run(["mkdir", "-p", "--", str(deep)], check=True)
    await house.worktrees.remove(made.path)
    swapped = await house.make("s2")
    (swapped.path.parent / "aside").mkdir()
    subprocess.run(["rm", "-rf", str(swapped.path)], check=True)
    swapped.path.symlink_to(outside)
    with pytest.raises(NotFound):
        await house.worktrees.inspect(swapped.path)
    await house.worktrees.remove(swapped.path)
    assert await house.worktrees.wait_erased(20)
    assert list((house.root / "trash").iterdir()) == []
    assert (outside / "precious").read_text() == "x"


async def test_a_swapped_parent_is_not_entered(house: House, tmp_path: Path) -> None:
    made = await house.make("s1")
    outside = tmp_path / "outside/s1"
    outside.mkdir(parents=True)
    made.path.parent.rename(tmp_path / "aside")
    made.path.parent.symlink_to(outside.parent)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        await house.worktrees.remove(made.path)
    assert outside.exists()
    made.path.parent.unlink()
    (tmp_path / "aside").rename(made.path.parent)
    managed = house.root / "worktrees"
    managed.rename(tmp_path / "old")
    (managed / made.path.parent.name / "s1").mkdir(parents=True)
    with pytest.raises(FailedPrecondition, match="MOVED"):
        await house.worktrees.remove(made.path)


@pytest.mark.parametrize("path", ["", "s1/..", "../x", "s1/inner", ".git"])
async def test_paths_outside_are_refused(house: House, path: str) -> None:
    made = await house.make("s1")
    for bad in (made.path.parent / path, Path("/etc"), Path("relative"), house.root):
        with pytest.raises(InvalidArgument, match="BAD_PATH"):
            await house.worktrees.remove(bad)
    assert made.path.exists()
