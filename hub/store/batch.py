"""Callers of one moment share a commit: what piled up while the last one ran is the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from protocol.errors import Internal

T = TypeVar("T")
R = TypeVar("R")


class Batch(Generic[T, R]):
    """``run`` is given 1 to ``limit`` items and answers each, in order; an answer may be an error.

    Nothing waits for a batch to fill. If ``run`` itself fails on several items, each is tried
    alone, so that one bad item cannot fail its neighbours.
    """

    def __init__(
        self, run: Callable[[list[T]], Awaitable[list[R | BaseException]]], limit: int = 256
    ) -> None:
        self._run = run
        self._limit = limit
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._draining: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> R:
        """The answer to one item. Cancelling the wait does not take the item back."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(), name="batch")
        return await answer

    async def _drain(self) -> None:
        try:
            while self._waiting:
                now, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
                await self._carry_out(now)
        finally:
            self._draining = None

    async def _carry_out(self, now: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._run([item for item, _ in now])
        except Exception as error:  # noqa: BLE001 - each waiting caller is told
            if len(now) > 1:
                for one in now:
                    await self._carry_out([one])
                return
            answers = [error]
        except BaseException:
            for _, answer in now:
                if not answer.done():
                    answer.set_exception(Internal("STOPPING", "the hub is stopping"))
            raise
        for (_, answer), said in zip(now, answers, strict=True):
            _settle(answer, said)


def _settle(answer: asyncio.Future[R], said: R | BaseException) -> None:
    if answer.done():  # the caller gave up
        return
    if isinstance(said, BaseException):
        answer.set_exception(said)
    else:
        answer.set_result(said)
