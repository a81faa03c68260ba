"""Who commits on this machine, and who in a repository, by git's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from spoke.agents.agent import AUTHOR
from spoke.flight import in_thread
from spoke.git import Git, GitFailed
from spoke.source import Mark, config

_PLACES: Final = (".gitconfig", ".config/git/config")


async def find(git: Git, environ: Mapping[str, str]) -> dict[str, str]:
    """git's variables, as the environment or the person's configuration has them; else nothing:
    for agents that hide the person's git configuration."""
    said = {name: value for name, value in environ.items() if name in AUTHOR}
    for place in _PLACES:
        file = Path(environ.get("HOME", "/"), place)
        for key, value in (await said_by(git, file, "--includes")).items():
            for role in ("AUTHOR", "COMMITTER"):
                said.setdefault(f"GIT_{role}_{key.upper()}", value)
    return said


class OfSource:
    """Who commits in the repository at ``url``."""

    def __init__(self, git: Git, url: str) -> None:
        self._git = git
        self._url = url
        self._known: tuple[Mark, Mapping[str, str]] | None = None

    async def said(self) -> Mapping[str, str]:
        """`name` and `email`, as far as its own configuration says, which is asked only on this
        machine; nothing else is taken from there."""
        if not self._url.startswith("/"):
            return {}
        try:
            file, mark = await in_thread(config, Path(self._url))
        except OSError:
            return {}
        if self._known is None or self._known[0] != mark:
            self._known = mark, await said_by(self._git, file)
        return self._known[1]

    def stands(self, said: Mapping[str, str]) -> bool:
        """Whether it was `said`, and nothing there changed since. Waits for the disk."""
        if not self._url.startswith("/"):
            return True
        try:
            _, mark = config(Path(self._url))
        except OSError:
            return not said
        return self._known is not None and self._known == (mark, said)


async def said_by(git: Git, file: Path, *options: str) -> dict[str, str]:
    """`name` and `email`, as far as this file of git's configuration says."""
    ask = ["config", "--file", str(file), *options, "-z", "--get-regexp", r"^user\.(name|email)$"]
    try:
        said = await git.run(ask, git_dir=file.parent)
    except GitFailed:  # there is no such file, or it does not say
        return {}
    pairs = (entry.partition("\n") for entry in said.split("\0") if entry)
    return {key.removeprefix("user."): value for key, _, value in pairs if value.isprintable()}
