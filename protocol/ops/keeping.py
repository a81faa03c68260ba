"""Parameters and answers of what removes, finds and brings back: cleanup, recover, trash."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from protocol.ops.shapes import (
    Flag,
    Params,
    Shape,
    Word,
)
from protocol.ops.wire import TrashItem


class CleanupParams(Params):
    session_ids: Annotated[list[Word], Field(max_length=500)] | None = None
    tree: Word | None = None
    force: Flag = False  #: also what no ref can hold; it stays in the trash for a while
    remote_branch: Flag = False  #: delete the branch at its repository too, where it is merged
    dry_run: Flag = False


class Cleaned(Shape):
    session_id: str
    branch: str
    worktree: str | None
    removed: bool
    reason: str  #: why it was removed, or why not
    steps: list[str] = []  #: what was done, or would be
    saved_ref: str | None = None
    trash: str | None = None  #: under which name it can be had back: `coordctl trash`


class Cleanup(Shape):
    results: list[Cleaned]


class RecoverParams(Params):
    apply: Flag = False  #: do it; else only say what would be done
    spoke: Word | None = None  #: only what concerns this one


class Finding(Shape):
    """A place where the records and the machines disagree."""

    kind: str
    session_id: str
    spoke: str | None
    what: str
    action: str  #: what is done about it; nothing, where a person has to look
    applied: bool = False
    trouble: str = ""  #: why it could not be done


class Recovery(Shape):
    findings: list[Finding]
    unasked: list[str]  #: spokes that could not be asked


class TrashListParams(Params):
    spoke: Word | None = None


class TrashEntry(TrashItem):
    spoke: str


class TrashList(Shape):
    items: list[TrashEntry]
    unasked: list[str]  #: spokes that could not be asked


class TrashRestoreParams(Params):
    id: Word
    spoke: Word
