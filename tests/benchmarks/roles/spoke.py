"""A spoke daemon, as `coordctl spoke run` runs it; its worktrees can be asked directly.

It also remembers when each order to start came, in ns since 1970.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import spoke.app
from protocol.ops.wire import Order, OrdersTaken
from spoke import identity
from spoke.attempts import Attempts
from spoke.settings import SpokeSettings
from spoke.worktrees import Worktrees
from tests.benchmarks.channel import Channel, run


class _Known(Worktrees):
    mine: Worktrees

    async def __aenter__(self) -> Self:
        _Known.mine = self
        return await super().__aenter__()


class _Punctual(Attempts):
    came: dict[str, int]

    async def take(self, orders: Sequence[Order]) -> OrdersTaken:
        now = time.time_ns()
        _Punctual.came |= {order.session_id: now for order in orders if order.kind == "start"}
        return await super().take(orders)


async def serve(channel: Channel, given: Mapping[str, Any]) -> None:
    spoke.app.Worktrees = _Known
    spoke.app.Attempts = _Punctual
    _Punctual.came = {}
    settings = SpokeSettings(state=Path(given["state"]), slots=1_000, pool_size=given["pool"])
    if not spoke.app.is_enrolled(settings):
        await spoke.app.join(settings, given["join"])
    daemon = asyncio.create_task(spoke.app.run(settings))
    channel.say({"spoke": identity.load(settings.places).spoke_id})
    answering = asyncio.create_task(_answer(channel))
    await asyncio.wait([daemon, answering], return_when=asyncio.FIRST_COMPLETED)
    for task in (daemon, answering):
        task.cancel()
    await asyncio.wait([daemon, answering])
    if not daemon.cancelled():
        daemon.result()


async def _answer(channel: Channel) -> None:
    async for asked in channel.requests():
        began = time.perf_counter()
        more: dict[str, int] = {}
        match asked["op"]:
            case "ready":
                await _Known.mine.wait_ready(asked["repo"])
            case "remove":
                await _Known.mine.remove(Path(asked["path"]))
            case "came":
                more = {"came": _Punctual.came[asked["session"]]}
        took = time.perf_counter() - began
        channel.say({"took": took, **more})


if __name__ == "__main__":
    run(serve, fast_loop=False)
