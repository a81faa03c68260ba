"""Whatever was done in a worktree: what is removed is, byte for byte, somewhere else."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import stat
import subprocess
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from protocol.errors import FailedPrecondition
from spoke.clones import Clones
from spoke.git import Git
from spoke.removal import Removed, Wish
from spoke.worktrees import Worktrees
from tests.support.worktrees import AGENT, commit

ODD = 'odd "é\udcff\n name'


def git(cwd: Path, *argv: str, check: bool = True) -> str:
    """As an agent runs it, with names that are no UTF-8."""
    done = subprocess.run(["git", *argv], cwd=cwd, env=AGENT, capture_output=True, check=False)
    assert not check or done.returncode == 0, (argv, done.stderr)
    return os.fsdecode(done.stdout).strip()


@dataclass
class House:
    runner: asyncio.Runner
    worktrees: Worktrees
    source: Path
    clone: Path
    outside: Path


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Generator[House]:
    folder = tmp_path_factory.mktemp("house")
    source = folder / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "main", ".")
    (source / "src").mkdir()
    (source / "src/b.txt").write_text("b\n")
    commit(source, "src/b.txt", "b\n")
    commit(source, ".gitignore", "*.log\n")
    commit(source, "a.txt", "one\n")
    outside = folder / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    root = folder / "spoke"
    with asyncio.Runner() as runner:
        clones = Clones(root, Git(root / "home"), allow_local=True)
        worktrees = Worktrees(root, clones, pool_size=0)
        runner.run(worktrees.__aenter__())
        clone = runner.run(clones.get(str(source))).path
        yield House(runner, worktrees, source, clone, outside)
        runner.run(worktrees.__aexit__(None, None, None))


# What an agent may do. Each is done in the worktree; what git refuses is left at that.


def edit(tree: Path, house: House) -> None:
    (tree / "a.txt").write_text(f"edit {os.urandom(4).hex()}\n")


def add_new(tree: Path, house: House) -> None:
    (tree / "new").mkdir(exist_ok=True)
    (tree / f"new/{os.urandom(2).hex()}").write_bytes(os.urandom(30))


def add_ignored(tree: Path, house: House) -> None:
    (tree / "noise.log").write_text("noise")


def add_odd(tree: Path, house: House) -> None:
    (tree / ODD).write_text("odd")


def link(tree: Path, house: House) -> None:
    if not os.path.lexists(tree / "link"):
        (tree / "link").symlink_to(house.outside)


def turn_into_link(tree: Path, house: House) -> None:
    if (tree / "src").is_dir() and not (tree / "src").is_symlink():
        (tree / "src").rename(tree / "elsewhere")
        (tree / "src").symlink_to("elsewhere")


def delete(tree: Path, house: House) -> None:
    (tree / "a.txt").unlink(missing_ok=True)


def stage(tree: Path, house: House) -> None:
    git(tree, "add", "-A", check=False)


def stage_and_change(tree: Path, house: House) -> None:
    (tree / "a.txt").write_text(f"staged {os.urandom(4).hex()}\n")
    git(tree, "add", "a.txt", check=False)
    (tree / "a.txt").write_text("changed after that\n")


def stage_and_delete(tree: Path, house: House) -> None:
    (tree / "only-staged").write_text(os.urandom(4).hex())
    git(tree, "add", "only-staged", check=False)
    (tree / "only-staged").unlink()


def hide(tree: Path, house: House) -> None:
    git(tree, "update-index", "--skip-worktree", "a.txt", check=False)
    (tree / "a.txt").write_text("hidden\n")


def commit_all(tree: Path, house: House) -> None:
    stage(tree, house)
    git(tree, "commit", "-qm", "work", "--allow-empty", check=False)


def push(tree: Path, house: House) -> None:
    git(tree, "push", "-qf", "origin", "HEAD", check=False)


def merge(tree: Path, house: House) -> None:
    branch = git(tree, "branch", "--show-current", check=False)
    git(house.source, "merge", "-q", "--no-edit", branch or "nothing", check=False)
    git(house.source, "merge", "--abort", check=False)


def detach(tree: Path, house: House) -> None:
    git(tree, "checkout", "-q", "--detach", check=False)


def go_back(tree: Path, house: House) -> None:
    git(tree, "checkout", "-q", "--detach", "HEAD~1", check=False)


def rebase(tree: Path, house: House) -> None:
    """Stopped by a conflict."""
    edit(tree, house)
    commit_all(tree, house)
    other = git(tree, "commit-tree", "-p", "HEAD~1", "-m", "x", "HEAD~1^{tree}", check=False)
    git(tree, "rebase", "-q", "--exec", "false", other or "HEAD~1", check=False)


def nest(tree: Path, house: House) -> None:
    (tree / "inner").mkdir(exist_ok=True)
    git(tree / "inner", "init", "-q", ".")
    (tree / "inner/file").write_text("of another repository")


def nest_as_module(tree: Path, house: House) -> None:
    nest(tree, house)
    git(tree / "inner", "add", "-A")
    git(tree / "inner", "commit", "-qm", "inner", check=False)
    git(tree, "add", "inner", check=False)


def save(tree: Path, house: House) -> None:
    """As the clock does: what is done after that makes it an older state."""
    saving = house.worktrees.save(tree.name, tree, f"refs/coord/wip/{tree.name}")
    house.runner.run(saving)


Act = Callable[[Path, House], None]
ACTS: tuple[Act, ...] = (
    edit, add_new, add_ignored, add_odd, link, turn_into_link, delete, stage, stage_and_change,
    stage_and_delete, hide, commit_all, push, merge, detach, go_back, rebase, nest, nest_as_module,
    save,
)  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What must not be lost: files that are not ignored, what is staged, commits."""

    files: dict[str, str]  #: path -> id of its blob
    staged: frozenset[str]
    commits: frozenset[str]
    nested: bool


def work_of(tree: Path, branch: str) -> Work:
    ignored = {"noise.log"}
    files: dict[str, str] = {}
    nested = False
    for folder, inner, names in os.walk(tree):
        here = os.path.relpath(folder, tree)
        if here != "." and ".git" in (*inner, *names):
            nested = True
            inner.clear()
            continue
        links = [name for name in inner if Path(folder, name).is_symlink()]
        for name in (*names, *links):
            path = os.path.normpath(f"{here}/{name}")
            if path != ".git" and name not in ignored:
                files[path] = _blob(f"{folder}/{name}")
    index = git(tree, "ls-files", "-s").splitlines()
    staged = {line.split()[1] for line in index if not line.startswith("160000")}
    heads = [git(tree, "rev-parse", "-q", "--verify", ref, check=False) for ref in ("HEAD", branch)]
    return Work(files, frozenset(staged), frozenset(filter(None, heads)), nested)


def _blob(path: str) -> str:
    if stat.S_ISLNK(os.lstat(path).st_mode):
        content = os.fsencode(Path(path).readlink())
    else:
        content = Path(path).read_bytes()
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()


_numbers = itertools.count(1)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(acts=st.lists(st.sampled_from(ACTS), max_size=6), force=st.booleans())
def test_nothing_unsaved_is_ever_removed(house: House, acts: list[Act], force: bool) -> None:
    session = f"s{next(_numbers)}"
    branch = f"coord/{session}"
    made = house.runner.run(house.worktrees.make(session, str(house.source), branch, None))
    for act in acts:
        act(made.path, house)
    work = work_of(made.path, branch)
    wish = Wish(branch=True, remote_branch=True, force=force)
    removed = house.runner.run(_try(house, made.path, wish))
    if removed is None:
        assert not force
        assert work.nested or rebase in acts
        assert work_of(made.path, branch) == work, "and nothing was touched"
        return
    assert not made.path.exists()
    assert force or not work.nested
    _check_all_is_there(house, removed, work, branch)
    assert (house.outside / "precious").read_text() == "x"


async def _try(house: House, path: Path, wish: Wish) -> Removed | None:
    """None: refused, because no ref can hold what is there."""
    taking = house.worktrees.take_away(path, wish)
    (said,) = await asyncio.gather(taking, return_exceptions=True)
    if isinstance(said, Removed):
        event("removed")
        return said
    assert isinstance(said, FailedPrecondition)
    assert said.reason == "UNSAVED"
    event("refused")
    return None


def _check_all_is_there(house: House, removed: Removed, work: Work, branch: str) -> None:
    reachable = set(git(house.clone / "control", "rev-list", "--objects", "--all").split())
    assert work.commits <= reachable
    assert work.staged <= reachable
    assert removed.trash is not None
    kept = house.worktrees.kept.find(removed.trash)
    in_trash = house.clone.parent.parent / "kept" / kept.id / "tree"
    assert work_of_files(in_trash) == work.files or work.nested
    if work.nested:
        return  # forced: the files outside of it are saved, it itself is in the trash
    where = removed.saved_ref
    if where is None:  # the repository has it all
        assert any(_files(house, sha) == work.files for sha in work.commits)
    else:
        assert _files(house, where) == work.files


def work_of_files(tree: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder, inner, names in os.walk(tree):
        here = os.path.relpath(folder, tree)
        links = [name for name in inner if Path(folder, name).is_symlink()]
        for name in (*names, *links):
            path = os.path.normpath(f"{here}/{name}")
            if path != ".git" and name != "noise.log":
                found[path] = _blob(f"{folder}/{name}")
    return found


def _files(house: House, commit_id: str) -> dict[str, str]:
    said = git(house.clone / "control", "ls-tree", "-r", "-z", commit_id)
    entries = [entry for entry in said.split("\0") if entry]
    return {entry.partition("\t")[2]: entry.split()[2] for entry in entries}


def test_a_worktree_that_was_replaced_by_a_link(house: House) -> None:
    session = f"s{next(_numbers)}"
    made = house.runner.run(
        house.worktrees.make(session, str(house.source), f"coord/{session}", None)
    )
    (made.path / "new").write_text("work")
    moved = house.outside.parent / "moved"
    made.path.rename(moved)
    made.path.symlink_to(house.outside)
    house.runner.run(house.worktrees.take_away(made.path, Wish(branch=True, force=True)))
    assert (house.outside / "precious").read_text() == "x"
    assert (moved / "new").read_text() == "work"


def test_an_older_state_does_not_stand_for_a_newer_one(house: House) -> None:
    session = f"s{next(_numbers)}"
    made = house.runner.run(
        house.worktrees.make(session, str(house.source), f"coord/{session}", None)
    )
    for act in (edit, save, edit):
        act(made.path, house)
    assert not house.runner.run(house.worktrees.inspect(made.path)).saved
    save(made.path, house)
    assert house.runner.run(house.worktrees.inspect(made.path)).saved


def test_a_saved_state_holds_the_branch_that_head_left(house: House) -> None:
    session = f"s{next(_numbers)}"
    made = house.runner.run(
        house.worktrees.make(session, str(house.source), f"coord/{session}", None)
    )
    tip = commit(made.path, "work.txt")
    git(made.path, "checkout", "-q", "--detach", "HEAD~1")
    save(made.path, house)
    held = git(house.clone / "control", "rev-list", f"refs/coord/wip/{session}").split()
    assert tip in held
