"""Rows as aligned text. Pure: what is shown, in how many columns, is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from rich.cells import cell_len, set_cell_size

from coord.cli import terminal

T = TypeVar("T")

_GAP: Final = "  "
_RESET: Final = "\x1b[0m"
_BOLD: Final = "\x1b[1m"
_COLOURS: Final = {
    "running": "\x1b[32m", "completed": "\x1b[32m", "online": "\x1b[32m", "ok": "\x1b[32m",
    "queued": "\x1b[36m", "assigned": "\x1b[36m", "starting": "\x1b[36m",
    "unknown": "\x1b[33m", "aborting": "\x1b[33m", "blocked": "\x1b[33m", "warn": "\x1b[33m",
    "pending": "\x1b[33m", "failed": "\x1b[31m", "lost": "\x1b[31m", "offline": "\x1b[31m",
    "revoked": "\x1b[31m", "fail": "\x1b[31m", "aborted": "\x1b[35m",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    title: str
    cell: Callable[[T], str]
    wide: bool = False  #: only with `-o wide`


@dataclass(frozen=True, slots=True)
class Paper:
    """What is written on: ``columns`` wide where that matters, in colour or not."""

    colour: bool = False
    columns: int | None = None


def table(rows: Sequence[T], columns: Sequence[Column[T]], paper: Paper) -> str:
    """Title and rows, each line ended; lines are cut where the paper is."""
    cells = [[terminal.cell(column.cell(row)) for column in columns] for row in rows]
    titles = [column.title for column in columns]
    widths = [max(map(cell_len, line)) for line in zip(titles, *cells, strict=True)]
    head = _line(titles, widths, paper, lambda text: f"{_BOLD}{text}{_RESET}")
    return "".join([head, *(_line(line, widths, paper, painted) for line in cells)])


def facts(pairs: Sequence[tuple[str, str]], paper: Paper) -> str:
    """`name  value` lines; those without a value are left out."""
    said = [(name, terminal.cell(value)) for name, value in pairs if value]
    width = max((len(name) for name, _ in said), default=0)
    paint = painted if paper.colour else str
    return "".join(f"{name:<{width}}{_GAP}{paint(value)}\n" for name, value in said)


def painted(text: str) -> str:
    """A word of state in its colour; other text as it is."""
    colour = _COLOURS.get(text.strip().partition(" ")[0])
    return f"{colour}{text}{_RESET}" if colour else text


def age(since: datetime, now: datetime) -> str:
    """How long ago, in one unit: 12s, 5m, 3h, 2d."""
    seconds = max(0, int((now - since) / timedelta(seconds=1)))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _line(
    cells: Sequence[str], widths: Sequence[int], paper: Paper, paint: Callable[[str], str]
) -> str:
    left = paper.columns
    parts: list[str] = []
    for text, width in zip(cells, widths, strict=True):
        if left is not None and left <= 0:
            break
        fitted = set_cell_size(text, width if left is None else min(width, left))
        parts.append(paint(fitted) if paper.colour else fitted)
        left = None if left is None else left - width - len(_GAP)
    line = _GAP.join(parts)
    return (line if paper.colour else line.rstrip()) + "\n"
