"""Which commit a worktree stands on, read from git's files: no program of anybody is started."""

from __future__ import annotations

_REF = "ref: "
_LINKS = 5  # symbolic refs followed


def commit_of(worktree: str) -> str | None:
    """The full hash; None when that cannot be seen (an unborn branch, another format)."""
    folder = _git_folder(worktree)
    common = _text(f"{folder}/commondir")
    shared = _beside(folder, common) if common else folder
    said = _text(f"{folder}/HEAD")
    for _ in range(_LINKS):
        if not said.startswith(_REF):
            return said or None
        name = said.removeprefix(_REF)
        said = _text(f"{folder}/{name}") or _text(f"{shared}/{name}") or _packed(shared, name)
    return None


def _git_folder(worktree: str) -> str:
    pointer = _text(f"{worktree}/.git")
    if pointer.startswith("gitdir: "):
        return _beside(worktree, pointer.removeprefix("gitdir: "))
    return f"{worktree}/.git"


def _packed(folder: str, name: str) -> str:
    for line in _text(f"{folder}/packed-refs").splitlines():
        commit, _, found = line.partition(" ")
        if found == name:
            return commit
    return ""


def _beside(folder: str, path: str) -> str:
    return path if path.startswith("/") else f"{folder}/{path}"


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - pathlib costs 10 ms at start
            return file.read().strip()
    except (OSError, ValueError):
        return ""
