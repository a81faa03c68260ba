"""What a new conversation is told of the one before it, from what the hub knows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_TEXT_CHARS: Final = 2_000  #: of each thing that was said
_TAKE_OVER: Final = "the conversation before, of which you know nothing, could not be gone on with."
_GO_ON: Final = (
    "Look first at what is done already (git log, git status), then go on; do not begin anew."
    " This is the task as it was given then:"
)


@dataclass(frozen=True, slots=True)
class Known:
    """``told`` and ``said``: to its agent, and by it; the newest first."""

    task: str
    branch: str
    failed: str | None  #: how the conversation before ended
    saved: str | None  #: the newest commit that uncommitted work was saved as
    begun_at: str | None  #: the commit where its branch began
    told: Sequence[str]
    said: Sequence[str]


def brief(known: Known) -> str:
    """It goes before the prompt; what agents and people said is quoted, and of bounded length."""
    parts = [
        f"You take over the task {known.task}: {_TAKE_OVER}",
        _where(known),
        *([f"It ended with: {_quoted(known.failed)}"] if known.failed else []),
        *_list("It was told meanwhile, the last thing last:", known.told),
        *_list("It said at last:", known.said),
        _GO_ON,
    ]
    return "\n\n".join(parts)


def _where(known: Known) -> str:
    text = f"Its work is in this worktree, on the branch {known.branch}"
    if known.begun_at:
        text += f", which began at {known.begun_at[:12]}"
    if known.saved:
        text += f"; what was not committed is in the files, and was saved as {known.saved[:12]}"
    return text + "."


def _list(head: str, texts: Sequence[str]) -> list[str]:
    if not texts:
        return []
    return ["\n".join([head, *(f"- {_quoted(text)}" for text in reversed(texts))])]


def _quoted(text: str) -> str:
    """On one line."""
    whole = " ".join(text.split())
    return whole if len(whole) <= _TEXT_CHARS else f"{whole[:_TEXT_CHARS]} [...]"
