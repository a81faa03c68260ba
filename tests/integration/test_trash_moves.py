"""A move into the trash or out of it that is killed at any step is whole or has not begun."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protocol.errors import Conflict
from spoke import notes
from spoke.bounds import Bounds
from spoke.clones import Clones
from spoke.git import Git
from spoke.kept import Kept, new_entry
from spoke.notes import Note
from spoke.place import Place
from spoke.trash import Trash
from spoke.worktrees import Worktrees
from tests.support.worktrees import commit, git

NOTE = Note("ses_1", "/repo", "coord/ses_1", "0" * 40, existing=False)
PARTS = ("admin", "tree", "view")
CHANGES = ("rename", "replace", "unlink", "rmdir", "mkdir")


class Room:
    """A spoke's folders, with one worktree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clone = folder / "clones/clone"
        (self.clone / "notes").mkdir(parents=True)
        self.place = Place.of(folder, self.clone, "worktrees", NOTE.session)
        self.bounds = Bounds(folder / "worktrees")
        for part in PARTS:
            path: Path = getattr(self.place, part)
            path.mkdir(parents=True)
            (path / part).write_text("precious")
        notes.write(self.clone, NOTE)
        self.kept = Kept(folder / "kept")
        self.entry = new_entry("clone", NOTE, None, "merged")

    def remove(self) -> None:
        self.kept.keep(self.place, self.bounds, self.entry)
        notes.forget(self.clone, NOTE.session)

    def restore(self) -> None:
        self.kept.give_back(self.entry, self.place, self.clone)

    def restart(self) -> None:
        self.kept = Kept(self.folder / "kept")
        for entry in self.kept.unfinished():
            self.kept.undo(entry, self.place, self.clone)

    def where(self) -> str:
        """Where all of it is: `there` or `kept`. Anything between is told in full."""
        files = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}
        parts = [getattr(self.place, part) / part for part in PARTS]
        in_trash = [self.folder / "kept" / self.entry.id / part / part for part in PARTS]
        is_listed = self.kept.every() == (self.entry,)
        if all(map(Path.exists, parts)) and not list((self.folder / "kept").iterdir()):
            return "there" if notes.read(self.clone, NOTE.session) else f"not noted: {files}"
        if all(map(Path.exists, in_trash)) and not self.place.occupied() and is_listed:
            return "kept"
        return f"in pieces: {files}"


def _killed_at(step: int, work: Callable[[], None], patch: pytest.MonkeyPatch) -> bool:
    """Whether `work` came as far as its change number `step` to the disk, which did not come to
    pass, nor did any behind it: none of its handlers could do anything any more.
    """

    class Killed(BaseException):
        pass

    left = iter(range(step))

    def mortal(change: Callable[..., None]) -> Callable[..., None]:
        def changed(*args: object, **kwargs: object) -> None:
            if next(left, None) is None:
                raise Killed
            change(*args, **kwargs)

        return changed

    with patch.context() as dying:
        for name in CHANGES:
            dying.setattr(os, name, mortal(getattr(os, name)))
        try:
            work()
        except Killed:
            return True
    return False


def _rooms(folder: Path) -> Iterator[Room]:
    return (Room(folder / str(number)) for number in itertools.count())


def test_giving_back_that_is_killed_at_any_step_is_undone_or_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    for step, room in enumerate(_rooms(tmp_path)):
        room.remove()
        was_killed = _killed_at(step, room.restore, monkeypatch)
        room.restart()
        seen.append(room.where())
        if not was_killed:
            break
        if seen[-1] == "kept":
            assert notes.every(room.clone) == ()
            room.restore()
        assert room.where() == "there", step
    undone = seen.count("kept")
    assert undone > len(PARTS)
    assert seen == ["kept"] * undone + ["there"] * (len(seen) - undone)


@pytest.mark.parametrize(
    ("move", "step", "was"),
    [("restore", len(PARTS) + 1, "kept"), ("remove", len(PARTS) + 2, "there")],
)
def test_what_undoes_it_may_be_killed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: str, step: int, was: str
) -> None:
    """It was killed behind the last part, before anything said that all are moved."""
    rounds = 0
    for again, room in enumerate(_rooms(tmp_path)):
        if move == "restore":
            room.remove()
        assert _killed_at(step, getattr(room, move), monkeypatch)
        was_killed = _killed_at(again, room.restart, monkeypatch)
        room.restart()
        assert room.where() == was, again
        if not was_killed:
            break
        rounds += 1
    assert rounds > len(PARTS)


def test_a_removal_that_is_killed_at_any_step_is_undone_or_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    for step, room in enumerate(_rooms(tmp_path)):
        was_killed = _killed_at(step, room.remove, monkeypatch)
        room.restart()
        seen.append(room.where())
        if not was_killed:
            break
    undone = seen.count("there")
    assert undone > len(PARTS)
    assert seen == ["there"] * undone + ["kept"] * (len(seen) - undone)


def test_what_the_disk_refuses_half_way_is_undone_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename
    room = Room(tmp_path)

    def refuses(source: Path, target: Path, *, src_dir_fd: int | None = None) -> None:
        if room.place.admin in (source, target):
            raise PermissionError(13, "not there")
        rename(source, target, src_dir_fd=src_dir_fd)

    for move, then in ((room.remove, "there"), (room.restore, "kept")):
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", refuses)
            with pytest.raises(PermissionError):
                move()
        assert room.where() == then
        if then == "there":
            room.remove()


def test_what_could_not_even_be_undone_is_listed_and_not_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it is elsewhere. The next restore finishes it."""
    room = Room(tmp_path)
    room.remove()
    assert _killed_at(2, room.restore, monkeypatch)
    old = Kept(tmp_path / "kept", days=0.0)
    trash = Trash(tmp_path / "trash")
    old.tidy(trash)
    assert [entry.id for entry in room.kept.every()] == [room.entry.id]
    assert list((tmp_path / "trash").iterdir()) == []
    room.kept.undo(room.entry, room.place, room.clone)
    room.restore()
    assert room.where() == "there"


def test_a_removal_is_not_undone_over_what_has_its_place_by_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(tmp_path)
    assert _killed_at(4, room.remove, monkeypatch)
    assert not room.place.tree.exists()
    room.place.tree.mkdir()
    (room.place.tree / "new").touch()
    room.restart()
    assert (room.place.tree / "new").exists()
    assert room.kept.every() == (room.entry,)
    assert (tmp_path / "kept" / room.entry.id / "tree/tree").exists()
    with pytest.raises(Conflict, match="WORKTREE_EXISTS"):
        room.restore()


def test_giving_back_is_not_undone_over_what_has_its_place_by_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(tmp_path)
    room.remove()
    assert _killed_at(3, room.restore, monkeypatch)
    assert room.place.view.exists()
    assert not room.place.tree.exists()
    room.place.tree.mkdir()
    (room.place.tree / "new").touch()
    room.restart()
    assert (room.place.tree / "new").exists()
    (room.place.tree / "new").unlink()
    room.place.tree.rmdir()
    assert room.where() == "kept"


DAEMON = """
import asyncio, os, signal, sys
from pathlib import Path
from spoke.clones import Clones
from spoke.git import Git
from spoke.worktrees import Worktrees

def die(event, args):
    if event == "os.rename" and os.fspath(args[0]).endswith("/tree"):
        os.kill(os.getpid(), signal.SIGKILL)

async def main(root, entry):
    async with Worktrees(root, Clones(root, Git(root / "home"), allow_local=True)) as worktrees:
        sys.addaudithook(die)
        await worktrees.give_back(entry)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def test_a_daemon_that_is_killed_giving_back_starts_again_with_all_of_it(
    tmp_path: Path,
) -> None:
    root, source = tmp_path / "spoke", tmp_path / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "main", ".")
    commit(source, "README.md")

    def worktrees() -> Worktrees:
        clones = Clones(root, Git(root / "home"), allow_local=True)
        return Worktrees(root, clones, pool_size=0)

    async with worktrees() as before:
        made = await before.make("ses_1", str(source), "coord/ses_1", None)
        tip = commit(made.path, "work")
        (made.path / "draft").write_text("not committed")
        entry = (await before.remove(made.path)).trash
    assert entry is not None
    done = subprocess.run([sys.executable, "-c", DAEMON, root, entry], check=False)
    assert done.returncode == -signal.SIGKILL
    async with worktrees() as after:
        assert [one.id for one in after.kept.every()] == [entry]
        assert after.leftovers() == ()
        assert (await after.give_back(entry)).path == made.path
        assert after.kept.every() == ()
        assert [one.session for one in after.leftovers()] == ["ses_1"]
    assert git(made.path, "rev-parse", "HEAD") == tip
    assert git(made.path, "status", "--porcelain") == "?? draft"
