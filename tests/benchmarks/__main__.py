"""`python -m tests.benchmarks [NAME...]`: the figures, each beside its floor or a peer."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from tests.benchmarks import (
    aborting,
    cascade,
    clients,
    codec,
    crowd,
    events,
    first_line,
    relayed,
    removal,
    round_trip,
    spawning,
    truth,
)
from tests.benchmarks.channel import PROFILE
from tests.benchmarks.scale import FULL, TINY, Scale
from tests.benchmarks.stage import Stage, theatre
from tests.benchmarks.table import Row, as_json, as_table

FIGURE_S = 180.0  #: at most, for one figure

FIGURES: Mapping[str, Callable[[Stage], Awaitable[list[Row]]]] = {
    "codec": codec.figure,
    "round-trip": round_trip.figure,
    "relayed": relayed.figure,
    "spawns": spawning.figure,
    "first-line": first_line.figure,
    "removal": removal.figure,
    "abort": aborting.figure,
    "events": events.figure,
    "memory": crowd.figure,
    "clients": clients.figure,
    "cascade": cascade.figure,
    "truth": truth.figure,
}


async def measure(
    folder: Path, names: Sequence[str], scale: Scale
) -> tuple[list[Row], list[str], list[str]]:
    """The rows of these figures, notes, and the names of those that failed."""
    rows: list[Row] = []
    failed: list[str] = []
    async with theatre(folder, scale) as house:
        for name in names:
            began = time.monotonic()
            try:
                async with asyncio.timeout(FIGURE_S), house.stage(name) as stage:
                    rows += await FIGURES[name](stage)
            except Exception:  # told; the other figures are measured all the same
                failed.append(name)
                traceback.print_exc()
            _tell(f"{name}: {time.monotonic() - began:.0f} s")
        return rows, house.notes, failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FIGURES))
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument("--tiny", action="store_true", help="tiny counts: does the code still run")
    parser.add_argument("--profile", metavar="FOLDER", help="leave a profile of each process there")
    given = parser.parse_args()
    names = given.names or list(FIGURES)
    if unknown := [name for name in names if name not in FIGURES]:
        parser.error(f"no figure {unknown[0]}; there are {', '.join(FIGURES)}")
    if given.profile:
        os.environ[PROFILE] = str(Path(given.profile).absolute())
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="coord-bench-") as folder:
        scale = TINY if given.tiny else FULL
        rows, notes, failed = asyncio.run(measure(Path(folder), names, scale))
        after = f"{os.getloadavg()[0]:.1f} after"
        notes = [f"{os.cpu_count()} cores; load {before:.1f} before, {after}", *notes]
        notes += [f"{name} FAILED" for name in failed]
        told = as_json(rows, notes) if given.output == "json" else as_table(rows, notes)
        print(told, flush=True)  # now: to remove the large repositories takes a minute
    return 1 if failed else 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
