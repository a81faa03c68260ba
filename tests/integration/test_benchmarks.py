"""The benchmarks still run: each figure with tiny counts, nothing asserted about time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import measure
from tests.benchmarks.scale import TINY
from tests.benchmarks.table import as_json, as_table


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for the path of a socket."""
    with tempfile.TemporaryDirectory(prefix="coord-bench-") as made:
        yield Path(made)


async def test_many_come_back_at_once_and_nobody_else_is_lost(folder: Path) -> None:
    """The figure itself fails when a link that stayed is gone, or one is not welcomed again."""
    rows, notes, failed = await measure(folder, ["clients"], TINY)
    assert failed == []
    assert [row.name.split(",")[0] for row in rows] == [
        "memory of an idle client", "2 clients come back at once",
    ]  # fmt: skip
    assert "no other link was lost" in notes[-1]


async def test_a_figure_is_measured_beside_its_peer(folder: Path) -> None:
    rows, notes, failed = await measure(folder, ["round-trip"], TINY)
    assert failed == []
    assert all(row.beside is not None for row in rows)
    # CPU time comes in ticks of 10 ms, and so few calls may take none.
    assert all(row.ratio for row in rows if "CPU" not in row.ours.unit)
    assert rows[0].name in as_table(rows, notes)
    assert '"ratio"' in as_json(rows, notes)
