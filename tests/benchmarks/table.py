"""What was measured, beside its floor or peer, as one table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles

HEADINGS = ("figure", "ours", "beside", "", "ratio", "target", "met")


@dataclass(frozen=True, slots=True)
class Value:
    """A median; for a latency the 99th percentile too, or the worst where there were but few."""

    median: float
    unit: str
    p99: float | None = None
    worst: float | None = None

    def __str__(self) -> str:
        tails = (("p99", self.p99), ("max", self.worst))
        tail = "".join(f" ({word} {_number(one)})" for word, one in tails if one is not None)
        return f"{_number(self.median)} {self.unit}{tail}"


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    ours: Value
    beside: Value | None = None
    what: str = ""  #: what stands beside it
    target: str = ""
    met: bool | None = None
    par: float | None = None  #: the ratio that the target is where nothing else runs

    @property
    def ratio(self) -> float | None:
        if self.beside is None or not self.beside.median:
            return None
        return self.ours.median / self.beside.median


def rate(rounds: Sequence[float], unit: str = "/s") -> Value:
    return Value(median(rounds), unit)


def latency(seconds: Sequence[float]) -> Value:
    """In milliseconds."""
    middle = median(seconds) * 1e3
    if len(seconds) < 100:
        return Value(middle, "ms", worst=max(seconds) * 1e3)
    return Value(middle, "ms", p99=quantiles(seconds, n=100)[98] * 1e3)


def rounds(p50s: Sequence[float], p99s: Sequence[float]) -> Value:
    """A latency of several rounds, in milliseconds: the median of their medians, and of p99s."""
    return Value(median(p50s) * 1e3, "ms", p99=median(p99s) * 1e3)


def at_most(
    name: str, ours: Value, most: float, beside: Value, what: str, par: float | None = None
) -> Row:
    """``par``: what the target is of the thing beside it, where nothing else runs."""
    target = f"<= {_number(most)} {ours.unit}{_par(par)}"
    return Row(name, ours, beside, what, target, ours.median <= most, par)


def at_least(
    name: str, ours: Value, least: float, beside: Value, what: str, par: float | None = None
) -> Row:
    """``par``: as for `at_most`."""
    target = f">= {_number(least)} {ours.unit}{_par(par)}"
    return Row(name, ours, beside, what, target, ours.median >= least, par)


def at_least_of(name: str, ours: Value, least: float, beside: Value, what: str) -> Row:
    """``least``: of the thing beside it."""
    met = ours.median >= least * beside.median
    return Row(name, ours, beside, what, f">= {least:.2g}x", met)


def over_floor(
    name: str, ours: Value, floor: Value, most: float, what: str, par: float | None = None
) -> Row:
    """``most``: by how much it may be above its floor. ``par``: as for `at_most`."""
    met = ours.median <= floor.median + most
    target = f"floor + {_number(most)} {ours.unit}{_par(par)}"
    return Row(name, ours, floor, what, target, met, par)


def as_json(rows: Sequence[Row], notes: Sequence[str]) -> str:
    figures = [{**asdict(row), "ratio": row.ratio} for row in rows]
    return json.dumps({"figures": figures, "notes": list(notes)}, indent=2)


def as_table(rows: Sequence[Row], notes: Sequence[str]) -> str:
    cells = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(HEADINGS))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*(line.rstrip() for line in lines), "", *notes])


def _cells(row: Row) -> tuple[str, ...]:
    met = {None: "", True: "yes", False: "by ratio" if _at_par(row) else "NO"}[row.met]
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
    beside = "" if row.beside is None else str(row.beside)
    return (row.name, str(row.ours), beside, row.what, ratio, row.target, met)


def _at_par(row: Row) -> bool:
    """Whether a busy machine alone keeps it from its target."""
    if row.par is None or row.ratio is None:
        return False
    return row.ratio >= row.par if row.target.startswith(">=") else row.ratio <= row.par


def _par(par: float | None) -> str:
    return "" if par is None else f" (~{par:.2g}x)"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
