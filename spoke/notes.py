"""What the daemon itself knows of a worktree, kept beside the clone: no agent's word is needed."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from spoke.inplace import put

_MADE: Final = ".json"
_BEGUN: Final = ".begun"  #: half made, if nobody is at it: to be rolled back
_REFLOG: Final = re.compile(r"0+ (?P<sha>[0-9a-f]{40,64}) .*\tcoord: (?P<session>\S+)\n?\Z")


@dataclass(frozen=True, slots=True)
class Note:
    """Written before the first step of making a worktree, whose last one is to rename it."""

    session: str
    repo: str
    branch: str
    base: str  #: the commit the branch began at
    existing: bool  #: the branch is older than this worktree: never delete it on a rollback
    made: bool = False  #: said by the name of the file, not in it
    pooled: bool = False


_NOTE: Final = TypeAdapter(Note)


def begin(clone: Path, note: Note, blank: Path | None = None) -> None:
    """From here on the worktree is one that is half made. The note is what it will be then.

    ``blank``: a file to write it on, which should be there already.
    """
    path = _path(clone, note.session, _BEGUN)
    if blank is not None:
        with suppress(FileNotFoundError):  # somebody has tidied up there
            put(blank, _text(note))
            blank.rename(path)
            return
    put(path, _text(note))


def finish(clone: Path, note: Note) -> Note:
    """The note that was begun is one of a worktree that is made: at once, for it is a rename."""
    _path(clone, note.session, _BEGUN).rename(path(clone, note.session))
    return replace(note, made=True)


def write(clone: Path, note: Note) -> None:
    """Of a worktree that was made already, and is there again."""
    _path(clone, note.session, _BEGUN).unlink(missing_ok=True)
    fresh = _path(clone, note.session, ".new")
    fresh.write_bytes(_text(note))
    fresh.replace(path(clone, note.session))


def read(clone: Path, session: str) -> Note | None:
    """None if there is no such note, or it was cut by a crash of the machine."""
    for suffix in (_BEGUN, _MADE):  # in the order in which it has these names
        with suppress(FileNotFoundError, ValidationError):
            found = _NOTE.validate_json(_path(clone, session, suffix).read_bytes())
            return replace(found, made=suffix == _MADE)
    return None


def forget(clone: Path, session: str) -> None:
    for suffix in (_BEGUN, _MADE):
        _path(clone, session, suffix).unlink(missing_ok=True)


def every(clone: Path) -> tuple[Note, ...]:
    paths = (clone / "notes").iterdir()
    names = sorted({path.stem for path in paths if path.suffix in (_BEGUN, _MADE)})
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


def path(clone: Path, session: str) -> Path:
    """The file of a worktree that is made."""
    return _path(clone, session, _MADE)


def _path(clone: Path, session: str, suffix: str) -> Path:
    return clone / "notes" / f"{session}{suffix}"


def _text(note: Note) -> bytes:
    return _NOTE.dump_json(note, exclude={"made"})
