"""One run of chaos from its seed to its verdict."""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hub.embedded.binaries import find
from hub.embedded.cluster import Cluster
from hub.store import postgres
from tests.chaos.plan import plan
from tests.chaos.storm import Storm
from tests.support.invariants import violations
from tests.support.repositories import make_repository
from tests.support.town import Town, town

#: Out of reach within seconds, so that the reaper works too; given up by nobody's patience.
HUB = {
    "lease_seconds": 3, "heartbeat_seconds": 1, "grace_seconds": 2,
    "fence_seconds": 6, "fence_margin_seconds": 3,
}  # fmt: skip
ENDS_S = 15.0  #: in which an agent that means to end has ended
SETTLES_S = 120.0
_DEADLOCK = re.compile(rb"ERROR:  deadlock detected")


@dataclass(frozen=True, slots=True)
class Verdict:
    seed: int
    duration: float
    faults: dict[str, int]
    sessions: dict[str, int]  #: by state
    again: int  #: sessions that were started more than once
    spools: int  #: compared byte by byte
    events: int
    violations: list[str]
    deadlocks: int
    settled_in: float

    @property
    def good(self) -> bool:
        return not self.violations and not self.deadlocks

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}, {self.duration:.0f} s, quiet after {self.settled_in:.1f} s more",
            f"faults: {_shown(self.faults)}; {sum(self.faults.values())} in all",
            f"sessions: {_shown(self.sessions)}; {sum(self.sessions.values())} in all",
            f"started more than once: {self.again}",
            f"stories: {self.events} events, {self.spools} spools compared with them",
            f"violations: {len(self.violations)}, deadlocks: {self.deadlocks}",
            *self.violations,
        ]
        return "\n".join(lines)


async def run(seed: int, duration: float, sessions: int, breaks: int) -> Verdict:
    """A town of two hubs and two spokes on a server of its own, `breaks` faults, a verdict."""
    with tempfile.TemporaryDirectory(prefix="coord-") as name:
        folder = Path(name)
        cluster = Cluster(folder / "pg", find())
        await cluster.start()
        try:
            dsn = cluster.layout.endpoint().dsn
            await postgres.migrate(dsn)
            (folder / "town").mkdir()
            async with town(
                folder / "town", dsn, "anvil", "forge", hubs=2, hub_settings=HUB
            ) as here:
                return await _run(here, cluster, seed, duration, sessions, breaks)
        finally:
            await cluster.stop()


async def _run(
    here: Town, cluster: Cluster, seed: int, duration: float, sessions: int, breaks: int
) -> Verdict:
    repo = make_repository(here.folder / "repo")
    storm = Storm(here, cluster, repo)
    await storm.run(plan(seed, duration, sessions, breaks))
    began = time.monotonic()
    stuck = await _settle(here)
    settled_in = time.monotonic() - began
    seen = await here.inspector.look()
    found = violations(seen)
    known = {session.id for session in seen.sessions}
    found += [
        f"acknowledged and not there: {id}" for id in storm.sessions.values() if id not in known
    ]
    log = cluster.layout.log.read_bytes()
    return Verdict(
        seed=seed,
        duration=duration,
        faults=dict(storm.done),
        sessions=dict(Counter(str(session.state) for session in seen.sessions)),
        again=sum(session.attempt > 1 for session in seen.sessions),
        spools=here.inspector.spools,
        events=len(seen.events),
        violations=storm.trouble + stuck + found,
        deadlocks=len(_DEADLOCK.findall(log)),
        settled_in=settled_in,
    )


async def _settle(here: Town) -> list[str]:
    """Everything is whole; what does not end by itself is aborted; and all come to rest."""
    for way in here.ways.values():
        way.refusing = False
        way.free()
    with suppress(TimeoutError):
        await here.quiet(ENDS_S)
    await here.clear()
    try:
        await here.quiet(SETTLES_S)
    except TimeoutError:
        return [f"not at rest after {SETTLES_S:.0f} s"]
    return []


def _shown(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {many}" for name, many in sorted(counts.items()))
