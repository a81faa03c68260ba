"""What the daemon itself knows of a worktree, kept beside the clone: no agent's word is needed."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

_SUFFIX: Final = ".json"
_REFLOG: Final = re.compile(r"0+ (?P<sha>[0-9a-f]{40,64}) .*\tcoord: (?P<session>\S+)\n?\Z")


@dataclass(frozen=True, slots=True)
class Note:
    """Written before the first step of making a worktree; `made` is set after the last one."""

    session: str
    repo: str
    branch: str
    base: str  #: the commit the branch began at
    existing: bool  #: the branch is older than this worktree: never delete it on a rollback
    made: bool = False
    pooled: bool = False


_NOTE: Final = TypeAdapter(Note)


def write(clone: Path, note: Note) -> None:
    path = _path(clone, note.session)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(note)))
    fresh.replace(path)


def read(clone: Path, session: str) -> Note | None:
    """None if there is no such note, or it was cut by a crash of the machine."""
    try:
        return _NOTE.validate_json(_path(clone, session).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def forget(clone: Path, session: str) -> None:
    _path(clone, session).unlink(missing_ok=True)


def every(clone: Path) -> tuple[Note, ...]:
    names = sorted(path.stem for path in (clone / "notes").glob(f"*{_SUFFIX}"))
    return tuple(note for name in names if (note := read(clone, name)) is not None)


def reflog_word(session: str) -> str:
    """What the reflog of a branch says of its birth: how we know it for ours after a crash."""
    return f"coord: {session}"


def birth(clone: Path, branch: str) -> tuple[str, str] | None:
    """The commit at which we made this branch and the session it was for; None if we did not."""
    try:
        lines = (clone / "logs/refs/heads" / branch).read_text(errors="replace").splitlines()
    except OSError:
        return None
    found = next((match for line in reversed(lines) if (match := _REFLOG.match(line))), None)
    return None if found is None else (found["sha"], found["session"])


def forget_birth(clone: Path, note: Note) -> None:
    """Deletes the reflog of a branch that never came to be: git writes it before the branch."""
    path = clone / "logs/refs/heads" / note.branch
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return
    if all(line.endswith(f"\t{reflog_word(note.session)}") for line in lines):
        path.unlink()


def _path(clone: Path, session: str) -> Path:
    return clone / "notes" / f"{session}{_SUFFIX}"
