"""What spokes work on, and the floor beside them: large repositories, plain git, plain exec."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.repositories import git

_ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
_PER_FOLDER = 100
CLOCK = ("date", "+%s%N")  #: the agent: prints its own clock, in ns


def repository(where: Path, files: int) -> str:
    """A repository with one commit of small files, in folders; nothing is checked out in it."""
    where.mkdir()
    git(where, "init", "-q", "-b", "main")
    with (where / "stream").open("w") as stream:
        for n in range(files):
            text = f"line of file {n}\n" * 20
            stream.write(f"blob\nmark :{n + 1}\ndata {len(text)}\n{text}")
        stream.write("commit refs/heads/main\ncommitter someone <s@example.invalid> 0 +0000\n")
        stream.write("data 9\nThe files")
        for n in range(files):
            stream.write(f"\nM 100644 :{n + 1} folder{n // _PER_FOLDER}/file{n}.txt")
        stream.write("\n\n")
    with (where / "stream").open() as stream:
        subprocess.run(
            ["git", "fast-import", "--quiet"], cwd=where, env=_ENV, stdin=stream, check=True
        )
    (where / "stream").unlink()
    return str(where)


def add_and_exec(repo: str, worktree: Path, branch: str) -> float:
    """Seconds from `git worktree add` to the first line of a program that runs there."""
    began = time.time_ns()
    _run("git", "-C", repo, "worktree", "add", "-q", "-b", branch, str(worktree), "main")
    done = subprocess.run(CLOCK, cwd=worktree, capture_output=True, check=True)
    return (int(done.stdout) - began) / 1e9


def take_and_exec(tree: Path, branch: str) -> float:
    """The same in a worktree that is there already: it gets a branch, and the program runs."""
    began = time.time_ns()
    _run("git", "-C", str(tree), "checkout", "-q", "-B", branch, "main")
    done = subprocess.run(CLOCK, cwd=tree, capture_output=True, check=True)
    return (int(done.stdout) - began) / 1e9


def remove(repo: str, worktree: Path) -> float:
    began = time.perf_counter()
    _run("git", "-C", repo, "worktree", "remove", "--force", str(worktree))
    return time.perf_counter() - began


def rename_and_prune(repo: str, worktree: Path) -> float:
    began = time.perf_counter()
    worktree.rename(away := worktree.with_name(f"{worktree.name}.gone"))
    _run("git", "-C", repo, "worktree", "prune", "--expire", "now")
    took = time.perf_counter() - began
    shutil.rmtree(away)
    return took


def _run(*argv: str) -> None:
    subprocess.run(argv, env=_ENV, check=True, capture_output=True)


def interrupt_and_wait(argvs: Sequence[Sequence[str]]) -> float:
    """Seconds from the first INT to the last of these processes being seen dead.

    Each says a line when it is ready.
    """
    running = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) for argv in argvs
    ]
    for one in running:
        assert one.stdout is not None
        one.stdout.readline()
    began = time.perf_counter()
    for one in running:
        os.killpg(one.pid, 2)
    for one in running:
        one.wait()
        assert one.stdout is not None
        one.stdout.read()  # its end: no descendant holds the pipe any more
    took = time.perf_counter() - began
    for one in running:
        assert one.stdout is not None
        one.stdout.close()
    return took
