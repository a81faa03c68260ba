"""What the repository has of a session is its newest saved state, in whatever order it is sent."""

from __future__ import annotations

import asyncio
from pathlib import Path

from spoke.clones import Clones
from spoke.git import Git
from spoke.journal import Key
from spoke.saves import PUSHES, Saves
from spoke.worktrees import Worktrees
from tests.support.repositories import git, make_repository
from tests.support.world import until

REF = "refs/coord/wip/ses_1"


def _ref(repo: Path) -> str:
    return git(repo, "for-each-ref", REF)


async def test_an_older_state_is_not_sent_over_a_newer_one(tmp_path: Path) -> None:
    repo, root = Path(make_repository(tmp_path / "repo")), tmp_path / "spoke"
    clones = Clones(root, Git(root / "home"), allow_local=True)
    async with Worktrees(root, clones) as worktrees:
        made = await worktrees.make("ses_1", str(repo), "work", None)
        clone = (await clones.get(str(repo))).path / "control"
        saves = Saves(worktrees, 60, push=True)
        first, second = (saves.of(Key("ses_1", attempt)) for attempt in (1, 2))
        for attempt in (first, second):
            attempt.found(made.path)
        for _ in range(PUSHES):
            await saves.pushes.acquire()
        (made.path / "notes").write_text("one\n")
        sending = asyncio.create_task(first.settle())
        await until(lambda: _ref(clone), "the first attempt's work is saved, and waits to be sent")
        (made.path / "notes").write_text("one\ntwo\n")
        await worktrees.save("ses_1", made.path, REF)
        for _ in range(PUSHES):
            saves.pushes.release()
        await sending
        assert _ref(repo) == "", "it is not what the session has any more"
        await second.settle()
        assert git(repo, "show", f"{REF}:notes") == "one\ntwo"
        await saves.close()
