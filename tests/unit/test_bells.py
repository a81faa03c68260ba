"""Who waits for a bell looks for itself after a while, whether or not anybody rang."""

from __future__ import annotations

import asyncio

from hub.bells import Bell


async def _returns(bell: Bell, within: float | None) -> bool:
    """Whether a wait is over, long after it should be."""
    waiting = asyncio.create_task(bell.wait(within))
    done, left = await asyncio.wait([waiting], timeout=5 if within is not None else 0.05)
    for task in left:
        task.cancel()
        await asyncio.wait([task])
    return bool(done)


async def test_who_is_not_told_asks() -> None:
    assert await _returns(Bell(), 0.001)


async def test_who_wants_to_be_told_waits_until_it_is() -> None:
    bell = Bell()
    assert not await _returns(bell, None)
    bell.ring("a")
    assert await _returns(bell, None)


async def test_who_waits_for_several_waits_until_each_rang() -> None:
    bell = Bell()
    for _ in range(2):  # what rang before the last wait does not count
        waiting = asyncio.create_task(bell.wait_each({"a", "b"}, 60))
        bell.ring("a")
        await asyncio.wait([waiting], timeout=0.01)
        assert not waiting.done()
        bell.ring("b")
        await waiting


async def test_who_waits_for_several_asks_after_a_while() -> None:
    await Bell().wait_each({"a"}, 0.001)
