"""python -m tests.simulation [SEEDS [FIRST]] : simulated days, and what does not hold after one."""

from __future__ import annotations

import sys
import time
from collections import Counter

from tests.simulation.world import World


def main(seeds: int = 1_000, first: int = 0) -> int:
    began, bad = time.perf_counter(), 0
    ends: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for seed in range(first, first + seeds):
        world = World(seed)
        found = world.run()
        bad += bool(found)
        ends.update(str(row.state) for row in world.db.rows.values())
        faults.update(world.broken)
        for violation in found:
            print(f"seed {seed}: {violation}", flush=True)
    took = time.perf_counter() - began
    print(f"{seeds} days in {took:.0f} s: {bad} with violations")
    print("faults:", ", ".join(f"{name} {many}" for name, many in sorted(faults.items())))
    print("sessions:", ", ".join(f"{name} {many}" for name, many in sorted(ends.items())))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
