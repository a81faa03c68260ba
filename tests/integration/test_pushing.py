"""What the repository has of a session is its newest saved state, in whatever order it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol.ops.wire import Saved
from spoke import pushing
from spoke.clones import Clone, Clones
from spoke.git import Git
from spoke.journal import Key
from spoke.saves import PUSHES, Saver, Saves
from spoke.worktrees import Worktrees
from tests.support.repositories import git, make_repository
from tests.support.world import until

REF = "refs/coord/wip/ses_1"
NOBODY_S = 0.7  #: for which nobody else may come in


def _ref(repo: Path) -> str:
    return git(repo, "for-each-ref", REF)


@dataclass(frozen=True, slots=True)
class Ground:
    """Two attempts of a session in one worktree; ``clone`` and ``repo`` are where git looks."""

    saves: Saves
    tree: Path
    clone: Path
    repo: Path
    first: Saver
    second: Saver

    def write(self, text: str) -> None:
        (self.tree / "notes").write_text(text)


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    repo, root = Path(make_repository(tmp_path / "repo")), tmp_path / "spoke"
    clones = Clones(root, Git(root / "home"), allow_local=True)
    async with Worktrees(root, clones) as worktrees:
        made = await worktrees.make("ses_1", str(repo), "work", None)
        clone = (await clones.get(str(repo))).path / "control"
        saves = Saves(worktrees, 60, push=True)
        first, second = (saves.of(Key("ses_1", attempt)) for attempt in (1, 2))
        for attempt in (first, second):
            attempt.found(made.path)
        yield Ground(saves, made.path, clone, repo, first, second)
        await saves.close()


async def test_an_older_state_is_not_sent_over_a_newer_one(ground: Ground) -> None:
    for _ in range(PUSHES):
        await ground.saves.pushes.acquire()
    ground.write("one\n")
    sending = asyncio.create_task(ground.first.settle())
    await until(lambda: _ref(ground.clone), "the first attempt's work waits to be sent")
    ground.write("one\ntwo\n")
    await ground.saves.worktrees.save("ses_1", ground.tree, REF)
    for _ in range(PUSHES):
        ground.saves.pushes.release()
    await sending
    assert _ref(ground.repo) == "", "it is not what the session has any more"
    await ground.second.settle()
    assert git(ground.repo, "show", f"{REF}:notes") == "one\ntwo"


async def test_two_attempts_do_not_send_at_the_same_time(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later one would be refused for ever, because the ref is not where it saw it."""
    sent: list[str] = []
    another = asyncio.Event()
    alone: list[bool] = []

    async def send(_clone: Clone, commit: str, _ref: str, _known: str | None) -> str:
        sent.append(commit)
        if len(sent) == 1:
            with suppress(TimeoutError):
                await asyncio.wait_for(another.wait(), NOBODY_S)
            alone.append(not another.is_set())
        another.set()
        return ""

    monkeypatch.setattr(pushing, "push_over", send)
    ground.write("one\n")
    sending = [asyncio.create_task(ground.first.settle())]
    await until(lambda: sent, "the first attempt's work is being sent")
    older = _ref(ground.clone)
    ground.write("one\ntwo\n")
    sending.append(asyncio.create_task(ground.second.settle()))
    await asyncio.gather(*sending)
    assert alone == [True], "another came in meanwhile"
    assert [older.split()[0], _ref(ground.clone).split()[0]] == sent


def _busy() -> str:
    return " ".join(task.get_name() for task in asyncio.all_tasks())


class _Hub:
    def __init__(self) -> None:
        self.told: list[Saved] = []

    async def saved(self, report: Saved) -> None:
        self.told.append(report)


def _told(ground: Ground) -> _Hub:
    hub = _Hub()
    ground.saves.start()
    ground.saves.reports.connect(hub)
    return hub


async def _ended_while_away(ground: Ground) -> Path:
    """The first attempt ends while the repository is not there; where it is instead. It is tried
    again soon."""
    away = ground.repo.rename(ground.repo.with_name("away"))
    await asyncio.sleep(0)  # their clocks have begun, at a minute
    ground.saves.every = 0.05
    ground.write("one\n")
    await ground.first.settle()
    return away


async def test_what_the_repository_did_not_take_at_the_end_it_gets_later(ground: Ground) -> None:
    hub = _told(ground)
    away = await _ended_while_away(ground)
    await until(lambda: any(one.why for one in hub.told), "the hub knows that it was not sent")
    assert all(one.final and not one.pushed for one in hub.told)
    away.rename(ground.repo)
    await until(lambda: hub.told[-1].pushed, "the hub knows that it was sent")
    assert hub.told[-1].final
    assert git(ground.repo, "show", f"{REF}:notes") == "one"


async def test_what_another_spoke_has_sent_meanwhile_is_left_alone(ground: Ground) -> None:
    """The session went on elsewhere; nobody told this spoke, whose attempt had ended."""
    hub = _told(ground)
    away = await _ended_while_away(ground)
    newer = git(away, "commit-tree", "-m", "elsewhere", "HEAD^{tree}")
    git(away, "update-ref", REF, newer)
    away.rename(ground.repo)
    await until(
        lambda: hub.told[-1].why.startswith("the repository has another state"), "the hub knows"
    )
    assert git(ground.repo, "rev-parse", REF) == newer


async def test_why_the_repository_refuses_is_said_in_its_own_words(ground: Ground) -> None:
    hub = _told(ground)
    git(ground.repo, "config", "receive.hideRefs", "refs/coord")
    ground.write("one\n")
    await ground.first.settle()
    await until(lambda: any(one.why for one in hub.told), "the hub knows")
    assert hub.told[-1].why == "the repository refused it: deny updating a hidden ref"


async def test_what_is_not_the_newest_any_more_is_not_sent_later(ground: Ground) -> None:
    away = await _ended_while_away(ground)
    assert "last push of" in _busy()
    ground.write("one\ntwo\n")
    async with ground.saves.turns.alone(REF):  # no try that began before may end after
        await ground.saves.worktrees.save("ses_1", ground.tree, REF)
        away.rename(ground.repo)
    await until(lambda: "last push of" not in _busy(), "nobody tries any more")
    assert _ref(ground.repo) == ""
