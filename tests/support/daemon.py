"""A hub or a spoke as a process of its own, with settings that no command line offers.

    python -m tests.support.daemon hub   '{"database_url": ..., "state": ..., "lease_seconds": 2}'
    python -m tests.support.daemon spoke '{"state": ..., "term_ms": 200}'

Either understands `protocol`: the newest version that it speaks. A hub understands
`reaper_seconds`: how often it looks for spokes that are out of reach. Twice that long without a
look of its own, it believes that it stood still itself, and not they: so the leases of a test may
be short on a machine that stands still now and then. A spoke dials again within two seconds, and
understands `clock` (its wall clock is so many seconds off), `groups` (false: it has no control
groups) and the signal USR2: its event loop hangs a while.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from typing import Final

from tenacity import wait_random_exponential

from coord.cli import hub as hub_command
from coord.cli import local_spoke
from coord.cli.daemon import log_to_stderr, run_fast
from hub.core import leases
from hub.duties import reaping
from hub.settings import HubSettings
from protocol import handshake
from protocol.limits import PROTOCOL_VERSION
from spoke import app, connection, groups, link
from spoke.settings import SpokeSettings

BLOCKED_S: Final = 4.0


def main(kind: str, settings: str) -> int:
    log_to_stderr()
    said = json.loads(settings)
    version = said.pop("protocol", PROTOCOL_VERSION)
    handshake.PROTOCOL_VERSION = connection.PROTOCOL_VERSION = version  # type: ignore[misc]
    if kind == "hub":
        _look(said.pop("reaper_seconds", reaping.TURN_SECONDS))
        return run_fast(hub_command._run(HubSettings.model_validate(said)))
    _set_clock(said.pop("clock", 0))
    if not said.pop("groups", True):
        groups.find = lambda _: None
    link.Hubs.learn = _learn_nothing  # type: ignore[method-assign]
    link.FULL_JITTER = wait_random_exponential(multiplier=0.2, max=2)  # type: ignore[misc]
    return asyncio.run(_spoke(SpokeSettings.model_validate(said)))


async def _spoke(settings: SpokeSettings) -> int:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR2, lambda: time.sleep(BLOCKED_S))
    return await local_spoke._until_stopped(app.run(settings))


def _learn_nothing(hubs: link.Hubs, urls: Sequence[str]) -> None:
    """It knows the way to its hub that goes through its proxy, and no other: the proxy decides."""


def _look(every: float) -> None:
    reaping.TURN_SECONDS = every  # type: ignore[misc]
    leases.LOOP_GAP_SECONDS = 2 * every  # type: ignore[misc]


def _set_clock(off: float) -> None:
    if off:
        now, now_ns = time.time, time.time_ns
        time.time = lambda: now() + off
        time.time_ns = lambda: now_ns() + int(off * 1e9)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
