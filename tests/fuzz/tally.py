"""What a run of the fuzz tests came to: examples, the innocent's slowest call, memory."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from protocol.aio.node import Context, Node
from protocol.switchboard import LinkId
from tests.support.pipe import pipe

BOUND_MS: Final = 500.0  #: for any call of the innocent client
MEMORY_BOUND_MB: Final = 256.0  #: of growth from the first example to the last, hypothesis included

R = TypeVar("R")


@dataclass(slots=True)
class Tally:
    examples: int = 0
    slowest_ms: float = 0.0  #: of the innocent's calls,
    answered: int = 0  #: and how many there were
    memory: list[float] = field(
        default_factory=list[float]
    )  #: MB, at the first example and after each test

    def counted(self, test: Callable[..., R]) -> Callable[..., R]:
        """The test, each example of which is counted."""

        @functools.wraps(test)
        def one(*args: Any, **given: Any) -> R:
            if not self.memory:
                self.memory.append(resident_mb())
            self.examples += 1
            return test(*args, **given)

        return one

    def is_good(self) -> bool:
        return self.slowest_ms <= BOUND_MS and self.growth_mb() <= MEMORY_BOUND_MB

    def growth_mb(self) -> float:
        return self.memory[-1] - self.memory[0] if self.memory else 0.0

    def lines(self) -> list[str]:
        innocent = [self._of_the_innocent()] if self.answered else []
        return [f"{self.examples:,} examples", *innocent, self._of_memory()]

    def _of_the_innocent(self) -> str:
        return (
            f"an innocent client beside them: {self.answered:,} calls answered, the slowest in"
            f" {self.slowest_ms:.1f} ms (bound {BOUND_MS:.0f} ms)"
        )

    def _of_memory(self) -> str:
        first, *later = self.memory
        return (
            f"memory: {first:.0f} MB at the first example, at most {max(later, default=first):.0f}"
            f" MB after a test, {self.growth_mb():+.0f} MB in the end"
            f" (bound {MEMORY_BOUND_MB:+.0f} MB)"
        )


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
        began = time.perf_counter()
        assert await self._client.ask(LinkId("node"), "op", {"n": 1}) == {"n": 1}
        took = (time.perf_counter() - began) * 1e3
        self._tally.answered += 1
        self._tally.slowest_ms = max(self._tally.slowest_ms, took)

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


def resident_mb() -> float:
    """Of this process."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    return int(status.read_text().partition("VmRSS:")[2].split()[0]) / 1024
