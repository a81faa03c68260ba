"""The work in a worktree is seen, however it hides, and saved without a change to it."""

from __future__ import annotations

import dataclasses
import os
import struct
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from protocol.errors import InvalidArgument, NotFound
from spoke import changes, inspection, saving
from spoke.desk import Desk
from spoke.place import Place
from spoke.removal import Wish
from spoke.saving import Proof
from tests.support.worktrees import House, commit, git


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
    for time_of in ("_touched", "_changed"):  # all of it is a second old
        monkeypatch.setattr(changes, time_of, Mock(return_value=old))
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
