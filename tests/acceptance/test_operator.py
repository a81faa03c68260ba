"""What an operator types: resume, cleanup, trash, recover, as processes of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import coord
from hub.embedded.cluster import Endpoint
from tests.support.postgres import fresh_database
from tests.support.repositories import git, make_repository
from tests.support.world import World, ended, until, world

#: Says whether it was resumed, and leaves a line; what it commits, it pushes.
NOTE = 'echo "resumed ${COORD_RESUMED:-no}"; echo "line $COORD_ATTEMPT" >> notes'
PUSH = 'git add notes; git commit -qm "A note of $COORD_SESSION_ID"; git push -q origin HEAD'


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(
    postgres_server: Endpoint, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[World]:
    async with (
        fresh_database(postgres_server, template=migrated) as dsn,
        world(tmp_path_factory.mktemp("world"), dsn, "anvil", "forge") as made,
    ):
        yield made


@pytest.fixture
def repo(tmp_path: Path) -> str:
    """A bare one, that both machines reach."""
    source = make_repository(tmp_path / "first")
    git(tmp_path, "clone", "-q", "--bare", source, str(tmp_path / "shared.git"))
    return str(tmp_path / "shared.git")


async def _typed(here: World, *words: str) -> Any:
    return json.loads(await here.coordctl(*words, "-o", "json"))


async def _session(here: World, repo: str, task: str, *script: str) -> tuple[str, Path]:
    """One that has ended; its id and its worktree."""
    args = ["-c", "; ".join(script)]
    async with here.client() as hub:
        made = await hub.spawn(task, repo=repo, spoke="anvil", command="sh", args=args)
        await ended(hub, made.session_id)
    return made.session_id, Path(str(made.worktree))


async def test_resume_where_it_was_and_elsewhere(here: World, repo: str) -> None:
    id, tree = await _session(here, repo, "first", NOTE)
    for spoke, more in (("anvil", []), ("forge", ["--elsewhere"])):
        said = await here.coordctl("resume", "first", *more)
        assert spoke in said, said
        async with here.client() as hub:
            [session] = await ended(hub, id)
            assert (session.state, session.spoke) == ("completed", spoke)
            many = session.attempt
            await until(lambda many=many: _saved(repo, id) == many, "its work is pushed")
    notes = Path(str(session.worktree)) / "notes"
    assert notes.read_text().splitlines() == ["line 1", "line 2", "line 3"]
    assert tree.exists(), "what is elsewhere now was not moved, but gone on with"
    said = await here.coordctl("logs", "first")
    assert [line for line in said.splitlines() if "resumed" in line][-1].endswith("resumed 1")
    assert "NOT_FOUND" in await here.coordctl("resume", "nobody")


def _saved(repo: str, id: str) -> int:
    """How many lines of notes the repository has of a session."""
    known = git(Path(repo), "for-each-ref", f"refs/coord/wip/{id}")
    return len(git(Path(repo), "show", f"refs/coord/wip/{id}:notes").splitlines()) if known else 0


async def test_cleanup_takes_merged_branches_at_the_repository_along(
    here: World, repo: str
) -> None:
    merged, _ = await _session(here, repo, "merged", NOTE, PUSH)
    pushed, _ = await _session(here, repo, "pushed", NOTE, PUSH)
    async with here.client() as hub:
        known = [(await hub.status(id)).sessions[0] for id in (merged, pushed)]
    branches = {one.session_id: f"refs/heads/{one.branch}" for one in known}
    git(Path(repo), "update-ref", "refs/heads/main", branches[merged])
    words = ("cleanup", "--remote-branch", "merged", "pushed")
    rehearsed = await here.coordctl(*words, "--dry-run")
    assert "at its repository: its default branch has all of it" in rehearsed
    assert "at its repository: it is not known to be merged" in rehearsed
    refs = git(Path(repo), "for-each-ref", "--format=%(refname)").splitlines()
    assert set(branches.values()) <= set(refs), "it was only rehearsed"
    done = await _typed(here, *words)
    assert {one["sessionId"]: one["removed"] for one in done["results"]} == {
        merged: True,
        pushed: True,
    }
    refs = git(Path(repo), "for-each-ref", "--format=%(refname)").splitlines()
    assert branches[merged] not in refs
    assert branches[pushed] in refs, "nothing else there has all of it"


async def test_trash_gives_back_what_cleanup_took(here: World, repo: str) -> None:
    id, tree = await _session(here, repo, "kept", NOTE)
    assert "removed" in (await here.coordctl("cleanup", "kept")).lower()
    assert not tree.exists()
    [entry] = [e for e in (await _typed(here, "trash"))["items"] if e["sessionId"] == id]
    assert entry["spoke"] == "anvil"
    assert entry["id"] in await here.coordctl("trash")
    back = await _typed(here, "trash", "--restore", entry["id"])
    assert back["worktree"] == str(tree)
    assert (tree / "notes").read_text() == "line 1\n"
    assert "NOT_IN_TRASH" in await here.coordctl("trash", "--restore", entry["id"])


async def test_recover_shows_what_disagrees_and_then_mends_it(here: World, repo: str) -> None:
    id, tree = await _session(here, repo, "gone", NOTE)
    attempts = here.folder / "spoke-anvil" / "attempts"
    await until(lambda: not list(attempts.glob(f"{id}.*")), "it is done with")
    assert id not in await here.coordctl("recover")
    shutil.rmtree(tree)
    for words, applied in (([], False), (["--apply"], True)):
        said = await _typed(here, "recover", *words)
        [found] = [one for one in said["findings"] if one["sessionId"] == id]
        assert (found["kind"], found["applied"]) == ("no_worktree", applied)
    assert id not in await here.coordctl("recover")


async def test_a_missing_agent_leaves_nothing_to_mend(here: World, repo: str) -> None:
    async with here.client() as hub:
        with pytest.raises(coord.CallError, match="AGENT_NOT_FOUND"):
            await hub.spawn("absent", repo=repo, command="./agent.sh")
        [failed] = (await hub.status(ref="absent")).sessions
        assert (failed.state, failed.worktree) == ("failed", None)
        id = failed.session_id
        assert id not in await here.coordctl("recover")
        assert f"coordctl cleanup {id}" not in (await hub.explain(id)).you_can
        again = await hub.resume(id)
        assert (again.session.state, again.session.reason) == ("failed", "AGENT_NOT_FOUND")
        assert again.session.worktree is None
        assert id not in await here.coordctl("recover")


async def test_a_session_that_waits_for_a_cordoned_spoke_says_how_it_goes_on(
    here: World, repo: str
) -> None:
    async with here.client() as hub:
        await hub.call("spoke.cordon", {"spoke": "forge", "cordoned": True})
        waits = await hub.spawn("t", repo=repo, command="true", spoke="forge", until="queued")
        said = await hub.explain(waits.session_id)
        assert said.fact.endswith("for forge, which is cordoned")
        assert said.next == "placed when forge is uncordoned, as soon as it has room"
        assert said.you_can[0] == "coordctl spoke uncordon forge"
        await here.coordctl(*said.you_can[0].split()[1:])
        assert [one.state for one in await ended(hub, waits.session_id)] == ["completed"]
