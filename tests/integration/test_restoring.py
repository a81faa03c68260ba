"""A session comes back from the newest state that can be reached, whoever was told of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from spoke import pushing
from spoke.clones import Clones
from spoke.git import Git
from spoke.planning import Worktree
from spoke.restoring import Resumed
from spoke.worktrees import Worktrees
from tests.support.repositories import git, make_repository

SESSION = "ses_1"
REF = f"refs/coord/wip/{SESSION}"


@dataclass(frozen=True, slots=True)
class Machine:
    """A spoke's worktrees, and the one of the session while it is here."""

    repo: Path
    worktrees: Worktrees
    clones: Clones

    async def begin(self) -> Worktree:
        return await self.worktrees.make(SESSION, str(self.repo), "work", None)

    async def go_on(self, at: Worktree, saved: str | None) -> Worktree:
        """From what the hub knows: where the branch began, and the newest state it was told of."""
        known = Resumed(at.base_commit, saved)
        return await self.worktrees.make(SESSION, str(self.repo), "work", None, resumed=known)

    async def save(self, at: Worktree, *, push: bool = True) -> str:
        commit = await self.worktrees.save(SESSION, at.path, REF)
        assert commit is not None
        if push:
            assert await pushing.push(await self.clones.get(str(self.repo)), commit, REF) == ""
        return commit

    async def git(self, *argv: str) -> str:
        return git((await self.clones.get(str(self.repo))).path / "control", *argv)


@dataclass(frozen=True, slots=True)
class Ground:
    repo: Path
    anvil: Machine
    forge: Machine


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    repo = Path(make_repository(tmp_path / "repo"))
    async with AsyncExitStack() as stack:
        machines: list[Machine] = []
        for name in ("anvil", "forge"):
            root = tmp_path / name
            clones = Clones(root, Git(root / "home"), allow_local=True)
            worktrees = await stack.enter_async_context(Worktrees(root, clones, pool_size=0))
            machines.append(Machine(repo, worktrees, clones))
        yield Ground(repo, *machines)


def _write(at: Worktree, text: str) -> None:
    (at.path / "notes").write_text(text)


def _notes(at: Worktree) -> str:
    return (at.path / "notes").read_text()


async def _saved_on_a_commit(machine: Machine) -> tuple[Worktree, str]:
    """Saved and sent twice: as a commit alone, which the hub was told of, and with work on it."""
    here = await machine.begin()
    git(here.path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty",
        "-m", "begun")  # fmt: skip
    told = await machine.save(here)
    _write(here, "one\n")
    assert await machine.save(here) != told
    return here, told


async def test_the_repository_has_more_than_the_hub_was_told_of(ground: Ground) -> None:
    """The machine was gone between a push and its report. What the hub knows is the commit that
    the work in the repository stands on, so that it comes along with that."""
    here, told = await _saved_on_a_commit(ground.anvil)
    there = await ground.forge.go_on(here, told)
    assert _notes(there) == "one\n"
    assert git(there.path, "log", "-1", "--format=%s") == "begun"


async def test_the_daemon_was_gone_before_it_was_heard(ground: Ground) -> None:
    """The same, and the session goes on where it was."""
    here, told = await _saved_on_a_commit(ground.anvil)
    await ground.anvil.worktrees.remove(here.path)
    assert _notes(await ground.anvil.go_on(here, told)) == "one\n"


async def test_another_machine_went_on_and_was_never_heard(ground: Ground) -> None:
    """The hub's newest state is the one that was saved here, before the session left."""
    first = await ground.forge.begin()
    _write(first, "one\n")
    told = await ground.forge.save(first)
    second = await ground.anvil.go_on(first, told)
    _write(second, _notes(second) + "two\n")
    await ground.anvil.save(second)
    third = await ground.forge.go_on(first, told)
    assert _notes(third) == "one\ntwo\n"
    kept = f"{told} commit\trefs/coord/salvage/{SESSION}/wip-{told[:12]}"
    assert kept in await ground.forge.git("for-each-ref"), (
        "what the hub took for the newest is not lost with it"
    )


async def test_what_the_repository_did_not_take_goes_before_what_it_has(ground: Ground) -> None:
    here = await ground.anvil.begin()
    _write(here, "one\n")
    await ground.anvil.save(here)
    _write(here, "one\ntwo\n")
    told = await ground.anvil.save(here, push=False)
    await ground.anvil.worktrees.remove(here.path)
    assert _notes(await ground.anvil.go_on(here, told)) == "one\ntwo\n"


async def test_what_only_the_repository_has_is_enough(ground: Ground) -> None:
    """The hub knows of a newer state, which went with its machine: that loss was accepted."""
    here = await ground.anvil.begin()
    _write(here, "one\n")
    await ground.anvil.save(here)
    for _ in range(2):  # the second time, it is no news
        there = await ground.forge.go_on(here, "f" * 40)
        assert _notes(there) == "one\n"
        await ground.forge.worktrees.remove(there.path)
        await ground.forge.git("update-ref", "-d", REF)
