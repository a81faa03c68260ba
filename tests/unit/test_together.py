"""What is asked for in one turn of the loop is done in one thread; each hears its own answer."""

from __future__ import annotations

import asyncio
import threading

import pytest

from spoke.chores import Chores
from spoke.flight import Together


async def test_who_asks_in_one_turn_shares_a_thread_and_nobody_waits_for_another_turn() -> None:
    chores, release = Chores(), threading.Event()
    threads: dict[int, int] = {}

    def work(number: int) -> int:
        threads[number] = threading.get_ident()
        if number == 3:
            release.wait(30)
        return -number

    together = Together(work, chores, "sums")
    slow = asyncio.create_task(together.do(3))
    await asyncio.sleep(0)
    assert await asyncio.gather(*(together.do(number) for number in (1, 2))) == [-1, -2]
    assert threads[1] == threads[2] != threads[3]
    release.set()
    assert await slow == -3
    await chores.close()


async def test_one_who_leaves_takes_nobody_along() -> None:
    chores = Chores()
    together: Together[int, int] = Together(abs, chores, "sums")
    first, second = (asyncio.create_task(together.do(number)) for number in (-1, -2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 2
    with pytest.raises(asyncio.CancelledError):
        await first
    await chores.close()
