"""Spawns: once by key, side by side on one clone, and all or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import FailedPrecondition, InvalidArgument
from tests.support.repositories import git
from tests.support.world import World, ended, lines, story

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_twenty_spawns_at_once_on_one_clone(here: World, repo: str) -> None:
    commit = "date +%N > mine; git add mine; git commit -qm mine; git rev-parse --abbrev-ref HEAD"
    async with here.client() as hub:
        swarmed = await hub.swarm(
            [f"t{n}" for n in range(20)], repo=repo, branch_prefix="feat/",
            command="sh", args=["-c", commit],
        )  # fmt: skip
        assert swarmed.failed == 0, swarmed.results
        made = [one.session for one in swarmed.results if one.session is not None]
        for session in await ended(hub, *(one.session_id for one in made)):
            events = await story(hub, session.session_id)
            assert session.state == "completed", events
            assert lines(events) == [session.branch]
            assert session.base_commit == git(Path(repo), "rev-parse", "HEAD")
            assert git(Path(str(session.worktree)), "log", "--format=%s", "-1") == "mine"


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"base": "no-such-branch"}, "BAD_REF"),
        ({"agent": "no-such-agent"}, "AGENT_UNKNOWN"),
        ({"command": "/no/such/program"}, "AGENT_NOT_FOUND"),
        ({"env": {"LD_PRELOAD": "/x.so"}}, "BAD_ENV"),
    ],
)
async def test_a_spawn_that_cannot_work_leaves_nothing_and_says_why(
    here: World, repo: str, params: dict[str, object], reason: str
) -> None:
    async with here.client() as hub:
        asked = {"task": "t", "repo": repo, "branch": "feat/x", "command": "true", **params}
        with pytest.raises(FailedPrecondition) as failed:
            await hub.call("coord.spawn", asked)
        assert failed.value.reason == reason
        assert failed.value.advice
        assert (await hub.status(live=True)).sessions == []
        good = await hub.spawn("t", repo=repo, branch="feat/x", command="true")
        assert good.branch == "feat/x", "the branch was not left behind"


async def test_what_would_reach_git_as_an_option_does_not(here: World) -> None:
    async with here.client() as hub:
        for field, value in (
            ("branch", "--lock"), ("branch", "a..b"), ("base", "--output=/x"),
            ("repo", "ext::sh -c true"), ("repo", "--upload-pack=x"), ("repo", "https://u:p@h/x"),
        ):  # fmt: skip
            asked = {"task": "t", "repo": "/r", "command": "true", field: value}
            with pytest.raises(InvalidArgument) as refused:
                await hub.call("coord.spawn", asked)
            assert refused.value.reason in ("BAD_REF", "BAD_REPO_URL")


async def test_the_prompt_comes_by_file_and_environment_and_messages_by_stdin(
    here: World, repo: str
) -> None:
    script = 'cat "$COORD_PROMPT_FILE"; echo; echo "$COORD_PROMPT"; read -r x; echo "heard $x"'
    prompt = "do $(touch /tmp/never) `it` 'well' \"now\""
    async with here.client() as hub:
        made = await hub.spawn("t", repo=repo, prompt=prompt, command="sh", args=["-c", script])
        said = await hub.message(made.session_id, "a word; with $signs")
        assert said.state == "delivered"
        await ended(hub, made.session_id)
        assert lines(await story(hub, made.session_id)) == [
            prompt, prompt, "heard a word; with $signs",
        ]  # fmt: skip
