"""Work is saved by the clock, after the end and when superseded; nobody waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.ops.wire import MessageOrder, StopOrder
from tests.shell.test_spoke import House, exchange, git, joined, until

__all__ = ["exchange", "joined"]  # fixtures

WIP = "refs/coord/wip/w1"
WORK = "echo changed > README.md; echo new > new.txt; echo staged > st; git add st; echo ready"
REST = "read -r; exit 0"


@pytest.fixture
async def quick(joined: House) -> House:
    """Saves ten times a second."""
    joined.settings = joined.settings.model_copy(update={"save_ms": 100})
    await joined.run()
    return joined


@pytest.fixture
async def house(joined: House) -> House:
    """Saves each minute: no test lives so long."""
    await joined.run()
    return joined


def show(house: House, name: str, ref: str = WIP) -> str:
    return git(house.repo, "show", f"{ref}:{name}")


async def saved(house: House, *, final: bool = False) -> str:
    """The commit with all that was done, once it is told that the source has it: a save may come
    in the middle of it."""

    def told() -> str | None:
        said = [one.commit for one in house.exchange.saves if one.pushed and one.final == final]
        return said[-1] if said and said[-1] == git(house.repo, "rev-parse", WIP) else None

    await house.exchange.until(lambda: told() and _has_all(house))
    return str(told())


def _has_all(house: House) -> bool:
    names = git(house.repo, "ls-tree", "--name-only", WIP).splitlines()
    return {"new.txt", "st"} <= set(names) and show(house, "README.md") == "changed"


async def worktree(house: House) -> Path:
    return Path((await house.exchange.until_kind("starting", "w1"))["worktree"])


async def test_while_the_agent_works(quick: House) -> None:
    for hook in ("pre-receive", "update", "post-receive", "reference-transaction"):
        program = quick.repo / ".git/hooks" / hook
        program.write_text("#!/bin/sh\ntouch ran; exit 1\n")
        program.chmod(0o755)
    await quick.bash("w1", f"{WORK}; {REST}")
    await quick.said("w1", "ready")
    commit = await saved(quick)
    assert (show(quick, "README.md"), show(quick, "new.txt"), show(quick, "st")) == (
        "changed", "new", "staged",
    )  # fmt: skip
    assert git(quick.repo, "rev-parse", WIP) == commit
    status = git(await worktree(quick), "status", "--porcelain").splitlines()
    assert [line.strip() for line in status] == ["M README.md", "A  st", "?? new.txt"]
    await quick.exchange.say("w1", MessageOrder(message_id="m1", text="go"))
    end = await quick.exited("w1")
    assert end["savedRef"] == WIP
    assert not (quick.repo / ".git/ran").exists(), "nothing of the repository was run"


async def test_a_stop_is_told_before_git_has_saved_and_the_ref_follows(house: House) -> None:
    await house.bash("w1", f"{WORK}; {REST}")
    await house.said("w1", "ready")
    await house.exchange.say("w1", StopOrder(outcome="aborted", reason=""))
    end = await house.exited("w1")
    assert end["saving"] is True
    await saved(house, final=True)
    assert show(house, "new.txt") == "new"
    first, last = (one for one in house.exchange.saves if one.final)
    assert (first.commit, first.ref, first.pushed, last.pushed) == (last.commit, WIP, False, True)
    await until(lambda: house.leftovers() == [])


async def test_where_nothing_was_touched_no_git_is_started(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.bash("w1", f"echo ready; {REST}")
    await house.said("w1", "ready")

    async def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("spoke.git.Git.run", never)
    await house.exchange.say("w1", StopOrder(outcome="aborted", reason=""))
    end = await house.exited("w1")
    assert "saving" not in end
    assert "savedRef" not in end
    await until(lambda: house.leftovers() == [])
    assert house.exchange.saves == []


async def test_a_source_that_takes_nothing_is_a_fact_and_no_failure(quick: House) -> None:
    await quick.bash("w1", f"echo ready; read -r; {WORK}; {REST}")
    await quick.said("w1", "ready")
    (quick.repo / ".git").rename(quick.repo / "away")
    await quick.exchange.say("w1", MessageOrder(message_id="m1", text="go"))
    await quick.exchange.until(lambda: quick.exchange.saves)
    report = quick.exchange.saves[0]
    assert (report.pushed, report.ref) == (False, WIP)
    assert report.commit
    assert report.why
    (quick.repo / "away").rename(quick.repo / ".git")
    await saved(quick)
    assert show(quick, "new.txt") == "new"


async def test_what_a_superseded_attempt_left_has_a_ref_of_its_own(house: House) -> None:
    await house.bash("w1", f"trap 'echo last > word' EXIT; {WORK}; while :; do sleep 0.05; done")
    await house.said("w1", "ready")
    house.exchange.verdicts["w1", 1] = "superseded"
    house.exchange.cut()
    await until(lambda: house.leftovers() == [])
    [report] = [one for one in house.exchange.saves if one.kind == "salvage"]
    ref = "refs/coord/salvage/w1/1"
    assert (report.ref, report.attempt, report.pushed) == (ref, 1, True)
    assert show(house, "new.txt", ref) == "new"
    assert show(house, "word", ref) == "last"
