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
from spoke import identity, inspection
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
    mine: _Punctual
    came: dict[str, int]

    async def take_over(self) -> None:
        _Punctual.mine = self
        await super().take_over()

    async def settled(self, session: str) -> None:
        """Until nothing of it is under way any more, the saving behind its end included."""
        while any(key.session_id == session for key, _ in self.held()):
            await asyncio.sleep(0.005)

    async def take(self, orders: Sequence[Order]) -> OrdersTaken:
        now = time.time_ns()
        _Punctual.came |= {order.session_id: now for order in orders if order.kind == "start"}
        return await super().take(orders)


class _Proving:
    """How long `inspection.inspect` took: the proof that nothing would be lost."""

    def __init__(self) -> None:
        self.took = 0.0
        self._inspect = inspection.inspect
        inspection.inspect = self  # type: ignore[assignment]

    async def __call__(self, *given: Any) -> inspection.Study:
        began = time.perf_counter()
        try:
            return await self._inspect(*given)
        finally:
            self.took = time.perf_counter() - began


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
    proving = _Proving()
    async for asked in channel.requests():
        began = time.perf_counter()
        more: dict[str, float] = {}
        match asked["op"]:
            case "ready":
                await _Known.mine.wait_ready(asked["repo"])
            case "settled":
                await _Punctual.mine.settled(asked["session"])
            case "remove":
                await _Known.mine.remove(Path(asked["path"]))
                more = {"proof": proving.took}
            case "came":
                more = {"came": _Punctual.came[asked["session"]]}
        took = time.perf_counter() - began
        channel.say({"took": took, **more})


if __name__ == "__main__":
    run(serve, fast_loop=False)
