"""Work that callers share, and work that must end before a cancelled caller may go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from spoke.chores import Chores

A = TypeVar("A")
T = TypeVar("T")
P = ParamSpec("P")


async def until_done(work: Coroutine[object, object, T] | asyncio.Future[T]) -> T:
    """What `work` returns. If we are cancelled meanwhile, `work` ends first, and then we are."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:
            if cancelled is None:
                raise
    if cancelled is not None:
        task.exception()  # seen; that we were cancelled is what counts
        raise cancelled
    return task.result()


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, run in a thread that is over when this returns or raises."""
    loop = asyncio.get_running_loop()
    return await until_done(loop.run_in_executor(None, partial(work, *args, **kwargs)))


async def both(first: Coroutine[object, object, None], second: Coroutine[object, object, T]) -> T:
    """What `second` returns, both having ended. If one fails, the other is cancelled first."""
    one, two = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        await asyncio.wait((one, two), return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await until_done(_land_both(one, two))
    errors = [None if task.cancelled() else task.exception() for task in (one, two)]
    for error in errors:
        if error is not None:
            raise error
    return two.result()


async def _land_both(one: asyncio.Task[None], two: asyncio.Task[T]) -> None:
    one.cancel()  # nothing, for one that is done
    two.cancel()
    await asyncio.wait((one, two))


class Together(Generic[A, T]):
    """Pieces of work that are asked for in one turn of the loop, and done in one thread: where many
    come at once, to go there and back costs more than what is done there.
    """

    def __init__(self, work: Callable[[A], T], chores: Chores, name: str) -> None:
        """``work`` raises nothing; it would be told to those beside it too."""
        self._work = work
        self._chores = chores
        self._name = name
        self._asked: list[A] = []
        self._round: asyncio.Task[list[T]] | None = None

    async def do(self, asked: A) -> T:
        if self._round is None:
            self._round = self._chores.start(self._go(), self._name)
        place = len(self._asked)
        self._asked.append(asked)
        return (await asyncio.shield(self._round))[place]

    async def _go(self) -> list[T]:
        asked, self._asked, self._round = self._asked, [], None
        return await in_thread(lambda: [self._work(one) for one in asked])


class Turns:
    """One holder at a time for each key; the others wait."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def alone(self, key: str) -> AsyncGenerator[None]:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        async with lock:
            yield


@dataclass(slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    waiters: int = 0


class Flights(Generic[T]):
    """One run of a piece of work at a time for each key; who comes meanwhile shares its result.

    A caller that is cancelled leaves; when the last one has left, the work itself is cancelled
    and has ended before that caller goes.
    """

    def __init__(self) -> None:
        self._flying: dict[Hashable, _Flight[T]] = {}

    async def join(self, key: Hashable, work: Callable[[], Coroutine[object, object, T]]) -> T:
        while (flight := self._flying.get(key)) is not None and flight.waiters == 0:
            await asyncio.wait([flight.task])  # abandoned: it must have ended before the next one
        if flight is None:
            flight = self._flying[key] = _Flight(asyncio.ensure_future(work()))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if flight.waiters == 0:
                await until_done(self._land(key, flight))

    async def _land(self, key: Hashable, flight: _Flight[T]) -> None:
        flight.task.cancel()  # nothing, if it is done
        await asyncio.wait([flight.task])
        del self._flying[key]
