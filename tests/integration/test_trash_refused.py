"""What the disk does not take, of a move into the trash or out of it, is told and not begun."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from protocol.errors import FailedPrecondition
from spoke import notes
from spoke.clones import Clones
from spoke.git import Git
from spoke.worktrees import Worktrees
from tests.support.worktrees import commit, git


async def test_a_disk_that_takes_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, source = tmp_path / "spoke", tmp_path / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "main", ".")
    commit(source, "README.md")
    full = Mock(side_effect=OSError(28, "No space left on device"))
    clones = Clones(root, Git(root / "home"), allow_local=True)
    async with Worktrees(root, clones, pool_size=0) as worktrees:
        made = await worktrees.make("ses_1", str(source), "coord/ses_1", None)
        with monkeypatch.context() as patch:
            patch.setattr(worktrees.kept, "_write", full)
            with pytest.raises(FailedPrecondition, match="No space left") as refused:
                await worktrees.remove(made.path)
        assert refused.value.reason == "NO_DISK"
        entry = (await worktrees.remove(made.path)).trash
        assert entry is not None
        with monkeypatch.context() as patch:
            patch.setattr(notes, "write", full)
            with pytest.raises(FailedPrecondition, match="No space left") as refused:
                await worktrees.give_back(entry)
        assert refused.value.reason == "NO_DISK"
        assert (await worktrees.give_back(entry)).path == made.path
