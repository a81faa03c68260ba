"""What a worktree of the pool will need besides its files: made with them, then only renamed.

A new file is the dearest step of taking one: twenty times a rename where the file system is at
rest, and a hundred times for minutes after much was removed (ext4 without a journal looks for an
inode that was not in use of late).
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Papers:
    """``branch`` holds the commit, and is on the disk; ``log``, its reflog, and ``note`` wait for
    their text. Whoever takes one gives it its name; the rest is thrown away."""

    branch: Path
    log: Path
    note: Path

    @classmethod
    def of(cls, clone: Path, name: str) -> Self:
        folder = clone / "papers"
        return cls(*(folder / f"{name}.{suffix}" for suffix in ("branch", "log", "note")))

    def draw_up(self, commit: str) -> None:
        """Raises OSError; nothing is left then."""
        try:
            self.branch.parent.mkdir(exist_ok=True)
            for path in (self.log, self.note):
                path.touch()
            with self.branch.open("w") as file:
                file.write(f"{commit}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self.discard()
            raise

    def discard(self) -> None:
        for path in (self.branch, self.log, self.note):
            path.unlink(missing_ok=True)


def discard_all(clone: Path) -> None:
    """Those of a daemon before us."""
    for path in (clone / "papers").glob("*"):
        with suppress(IsADirectoryError):  # that is not ours
            path.unlink(missing_ok=True)
