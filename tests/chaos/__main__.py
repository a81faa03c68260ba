"""make chaos DURATION=600 SEED=7 : random faults over real processes, and a verdict.

Exits with 1 when an invariant did not hold, or Postgres had to end a deadlock.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys

from tests.chaos.weather import run

SESSIONS_A_SECOND = 1 / 3
BREAKS_A_SECOND = 1 / 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--sessions", type=int, default=None, help="default: at least 200 in 600 s")
    args = parser.parse_args()
    seed: int = random.randrange(1 << 32) if args.seed is None else args.seed
    duration: float = args.duration
    sessions: int = args.sessions or max(20, int(duration * SESSIONS_A_SECOND))
    print(f"seed {seed}: {duration:.0f} s, {sessions} sessions", flush=True)
    verdict = asyncio.run(run(seed, duration, sessions, max(8, int(duration * BREAKS_A_SECOND))))
    print(verdict)
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
