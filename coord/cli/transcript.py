"""A session's story on a terminal: lines as the agent wrote them, made safe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from coord.cli import terminal
from coord.cli.out import Format, Out, plain
from coord.cli.views import clock
from coord.client import Hub
from protocol.ops.sessions import Event

#: What belongs to a transcript: what was said. The rest is the session's own book-keeping.
SPOKEN: Final = (
    "stdout", "stderr", "dropped", "notify", "child_notify", "child_asked", "child_silent",
    "child_failed",
)  # fmt: skip

_RED: Final = "\x1b[31m"
_DIM: Final = "\x1b[2m"
_RESET: Final = "\x1b[0m"


@dataclass(slots=True)
class Place:
    """How far a story was read, so that it can be gone on with over another link."""

    after: int = 0
    tail: int | None = None
    shown: bool = False

    def passed(self, event: Event) -> None:
        self.after, self.tail, self.shown = event.seq, None, True


async def follow(
    hub: Hub,
    id: str,
    out: Out,
    place: Place,
    *,
    live: bool = True,
    kinds: Sequence[str] | None = SPOKEN,
) -> None:
    """Print the story from a place on, which moves along; when ``live``, until it has ended."""
    async for event in hub.events(id, after=place.after, tail=place.tail, follow=live, kinds=kinds):
        if out.for_programs:
            out.value(plain(event))
        else:
            out.text(text_of(event, wide=out.format is Format.WIDE, colour=out.paper.colour))
        place.passed(event)


def text_of(event: Event, *, wide: bool, colour: bool) -> str:
    """One event as text that ends its line, unless the agent's line goes on in the next one."""
    said = event.body.get("text")
    ending = "" if event.body.get("part") is True and not wide else "\n"
    head = f"{event.seq:>6} {clock(event.at)} {terminal.cell(event.kind):<7} " if wide else ""
    match event.kind:
        case "stdout":
            return f"{head}{_safe(said)}{ending}"
        case "stderr":
            paint, reset = (_RED, _RESET) if colour else ("", "")
            return f"{head}{paint}{_safe(said)}{reset}{ending}"
        case _:
            paint, reset = (_DIM, _RESET) if colour else ("", "")
            return f"{head}{paint}{_note(event)}{reset}\n"


def _safe(said: object) -> str:
    return terminal.lines(said if isinstance(said, str) else "")


def _note(event: Event) -> str:
    """`[kind level] text`, or the whole body where there is no text."""
    body = dict(event.body)
    said = body.pop("text", None)
    words = [event.kind, *(str(body[key]) for key in ("sessionId", "level") if key in body)]
    rest = (
        said
        if isinstance(said, str)
        else " ".join(f"{k}={v}" for k, v in body.items() if v not in (None, "", []))
    )
    return f"[{terminal.cell(' '.join(words))}] {terminal.lines(rest)}".rstrip()
