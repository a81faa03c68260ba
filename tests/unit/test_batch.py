"""What piled up is the next batch; a bad item fails alone."""

from __future__ import annotations

import asyncio

import pytest

from hub.store.batch import Batch


async def test_callers_of_one_moment_share_a_run() -> None:
    runs: list[list[int]] = []

    async def double(items: list[int]) -> list[int | BaseException]:
        runs.append(items)
        await asyncio.sleep(0)
        return [2 * item for item in items]

    batch = Batch(double)
    assert await asyncio.gather(*(batch.submit(n) for n in range(10))) == list(range(0, 20, 2))
    assert runs == [list(range(10))]


async def test_what_comes_while_it_runs_is_the_next_run() -> None:
    runs: list[list[int]] = []
    go = asyncio.Event()

    async def wait(items: list[int]) -> list[int | BaseException]:
        runs.append(items)
        await go.wait()
        return list(items)

    batch = Batch(wait, limit=3)
    waiting = [asyncio.create_task(batch.submit(0))]
    while not runs:
        await asyncio.sleep(0)
    waiting += [asyncio.create_task(batch.submit(n)) for n in range(1, 6)]
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*waiting) == [0, 1, 2, 3, 4, 5]
    assert runs == [[0], [1, 2, 3], [4, 5]]


async def test_a_bad_item_fails_alone() -> None:
    async def run(items: list[int]) -> list[int | BaseException]:
        if 3 in items:
            raise ValueError("three")
        return list(items)

    batch = Batch(run)
    said = await asyncio.gather(*(batch.submit(n) for n in range(5)), return_exceptions=True)
    assert [n for n in said if isinstance(n, int)] == [0, 1, 2, 4]
    with pytest.raises(ValueError, match="three"):
        await batch.submit(3)


async def test_a_caller_who_gave_up_harms_nobody() -> None:
    async def run(items: list[int]) -> list[int | BaseException]:
        await asyncio.sleep(0)
        return list(items)

    batch = Batch(run)
    first, second = asyncio.create_task(batch.submit(1)), asyncio.create_task(batch.submit(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 2
    with pytest.raises(asyncio.CancelledError):
        await first
