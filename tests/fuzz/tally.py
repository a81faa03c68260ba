"""What a run of the fuzz tests came to: examples, the innocent's slowest call, memory."""

from __future__ import annotations

import asyncio
import functools
import gc
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from protocol.aio.node import Context, Node
from protocol.switchboard import LinkId
from tests.support.pipe import pipe

BOUND_MS: Final = 500.0  #: for any call of the innocent client, on a machine that has time for it
OBJECTS_BOUND: Final = 1_000  #: of the protocol, more than before the first example

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Weight:
    objects: int  #: whose types are the protocol's, and that are alive
    mb: float  #: resident, of the process


@dataclass(slots=True)
class Tally:
    examples: int = 0
    slowest_ms: float = 0.0  #: of the innocent's calls, by the clock,
    busiest_ms: float = 0.0  #: by the CPU time of this process, in which both ends are,
    answered: int = 0  #: and how many there were
    before: Weight | None = None  #: the first example
    after: Weight | None = None  #: the last one

    def counted(self, test: Callable[..., R]) -> Callable[..., R]:
        """The test, each example of which is counted."""

        @functools.wraps(test)
        def one(*args: Any, **given: Any) -> R:
            self.examples += 1
            return test(*args, **given)

        return one

    def is_good(self) -> bool:
        return self.busiest_ms <= BOUND_MS and self._growth().objects <= OBJECTS_BOUND

    def lines(self) -> list[str]:
        innocent = [self._of_the_innocent()] if self.answered else []
        return [f"{self.examples:,} examples", *innocent, self._of_memory()]

    def _of_the_innocent(self) -> str:
        return (
            f"an innocent client beside them: {self.answered:,} calls answered, the slowest in"
            f" {self.busiest_ms:.1f} ms of CPU time (bound {BOUND_MS:.0f} ms),"
            f" {self.slowest_ms:.1f} ms by the clock"
        )

    def _of_memory(self) -> str:
        grown = self._growth()
        return (
            f"memory: {grown.objects:+,} objects of the protocol (bound {OBJECTS_BOUND:+,});"
            f" {grown.mb:+.0f} MB in the process, with what hypothesis keeps of its examples"
        )

    def _growth(self) -> Weight:
        if self.before is None or self.after is None:
            return Weight(0, 0.0)
        return Weight(self.after.objects - self.before.objects, self.after.mb - self.before.mb)


class Bystander:
    """A node that lives through all examples, on a loop of its own; an innocent client is on it."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._runner = asyncio.Runner()
        self.node = Node({"op": echo})
        self._client = Node()
        self._serving = self.run(self._attach())

    def run(self, work: Coroutine[object, object, R]) -> R:
        return self._runner.run(work)

    async def ask(self) -> None:
        """One call of the innocent client."""
        began, used = time.perf_counter(), time.process_time()
        assert await self._client.ask(LinkId("node"), "op", {"n": 1}) == {"n": 1}
        took, busy = time.perf_counter() - began, time.process_time() - used
        self._tally.answered += 1
        self._tally.slowest_ms = max(self._tally.slowest_ms, took * 1e3)
        self._tally.busiest_ms = max(self._tally.busiest_ms, busy * 1e3)

    def close(self) -> None:
        self.run(self._detach())
        self._runner.close()

    async def _attach(self) -> list[asyncio.Task[None]]:
        near, far = pipe()
        return [
            asyncio.create_task(self.node.attach(LinkId("innocent"), near)),
            asyncio.create_task(self._client.attach(LinkId("node"), far)),
        ]

    async def _detach(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.wait(self._serving)


async def echo(context: Context) -> object:
    return context.call.params


def weigh() -> Weight:
    """What is there now and no garbage."""
    gc.collect()
    ours = sum(str(type(one).__module__).startswith("protocol.") for one in gc.get_objects())
    status = Path("/proc/self/status")
    kb = int(status.read_text().partition("VmRSS:")[2].split()[0]) if status.exists() else 0
    return Weight(ours, kb / 1024)
