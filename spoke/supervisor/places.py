"""Where a path that an agent names really is: a link in a worktree may lead out of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def placer(worktree: str) -> Callable[[str], str]:
    """A path -> relative to the worktree where it is in it, `.` for that itself; else absolute."""
    root = os.path.realpath(worktree)

    def place(path: str) -> str:
        found = os.path.realpath(f"{root}/{path}" if not path.startswith("/") else path)
        if found == root:
            return "."
        return found.removeprefix(f"{root}/")

    return place
