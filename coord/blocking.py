"""The same hub for code without an event loop: one thread, one loop, no second implementation."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AsyncExitStack, contextmanager
from typing import Concatenate, ParamSpec, TypeVar

from coord import client
from coord.line import PATIENCE_SECONDS
from protocol.handshake import Welcome

P = ParamSpec("P")
R = TypeVar("R")


class _Thread:
    """One thread with one loop, from start to stop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="coord", daemon=True)
        self._thread.start()

    def wait_done(self, work: Coroutine[object, object, R]) -> R:
        """What the work returns or raises. An interrupted wait cancels it and sees it end."""
        ended = threading.Event()
        tasks: list[asyncio.Task[R]] = []

        def begin() -> None:
            tasks.append(task := self._loop.create_task(work))
            # From the callback: a task that is cancelled before its first step runs nothing.
            task.add_done_callback(lambda _: ended.set())

        def cancel() -> None:
            for task in tasks:
                task.cancel()
            if not tasks:  # it was interrupted before that: nothing has begun, nor will it
                work.close()
                ended.set()

        try:  # from here: other threads may run before we come to wait
            self._loop.call_soon_threadsafe(begin)
            ended.wait()
        except BaseException:
            self._loop.call_soon_threadsafe(cancel)
            ended.wait()
            raise
        return tasks[0].result()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()


def _waits(
    method: Callable[Concatenate[client.Hub, P], Coroutine[object, object, R]],
) -> Callable[Concatenate[Hub, P], R]:
    """The method of the asynchronous hub, waited for."""

    def waiting(self: Hub, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.wait_done(method(self.hub, *args, **kwargs))

    functools.update_wrapper(waiting, method)
    return waiting


def _iterates(
    method: Callable[Concatenate[client.Hub, P], AsyncGenerator[R]],
) -> Callable[Concatenate[Hub, P], Generator[R]]:
    """The stream of the asynchronous hub, as an ordinary iterator."""

    def iterating(self: Hub, /, *args: P.args, **kwargs: P.kwargs) -> Generator[R]:
        items = method(self.hub, *args, **kwargs)
        try:
            while not isinstance(item := self.wait_done(_next(items)), _End):
                yield item
        finally:
            self.wait_done(items.aclose())

    functools.update_wrapper(iterating, method)
    return iterating


class _End:
    """What comes after the last item."""


async def _next(items: AsyncGenerator[R]) -> R | _End:
    return await anext(items, _End())


class Hub:
    """`coord.client.Hub` with methods that wait. Ctrl-C in a wait aborts the call."""

    def __init__(self, hub: client.Hub, thread: _Thread) -> None:
        self.hub = hub
        self.wait_done = thread.wait_done

    @property
    def welcome(self) -> Welcome:
        return self.hub.welcome

    call = _waits(client.Hub.call)
    stream = _iterates(client.Hub.stream)
    spawn = _waits(client.Hub.spawn)
    swarm = _waits(client.Hub.swarm)
    status = _waits(client.Hub.status)
    message = _waits(client.Hub.message)
    questions = _waits(client.Hub.questions)
    answer = _waits(client.Hub.answer)
    abort = _waits(client.Hub.abort)
    resume = _waits(client.Hub.resume)
    events = _iterates(client.Hub.events)
    wait = _waits(client.Hub.wait)
    notify = _waits(client.Hub.notify)
    cleanup = _waits(client.Hub.cleanup)
    explain = _waits(client.Hub.explain)
    spokes = _waits(client.Hub.spokes)


@contextmanager
def connect(
    url: str | None = None,
    token: str | None = None,
    *,
    name: str = "coord",
    patience: float = PATIENCE_SECONDS,
) -> Generator[Hub]:
    """`coord.connect` for code that waits. Raises what that raises."""
    thread = _Thread()
    links = AsyncExitStack()
    try:
        connecting = client.connect(url, token, name=name, patience=patience)
        hub = thread.wait_done(links.enter_async_context(connecting))
        yield Hub(hub, thread)
    finally:
        thread.wait_done(links.aclose())
        thread.stop()
