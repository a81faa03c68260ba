"""Virtual time: what is to happen, in order, in no time at all."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable


class Timeline:
    """Seconds since the beginning, and the chance of this world: all of it comes from a seed."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.chance = random.Random(seed)
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._coming, (self.now + seconds, next(self._number), what))

    def soon(self, what: Callable[[], None], least: float = 0.001, most: float = 0.05) -> None:
        self.later(self.chance.uniform(least, most), what)

    def every(self, seconds: float, what: Callable[[], None]) -> None:
        def again() -> None:
            what()
            self.later(seconds, again)

        self.soon(again, 0, seconds)

    def run_until(self, end: float) -> None:
        while self._coming and self._coming[0][0] <= end:
            self.now, _, what = heapq.heappop(self._coming)
            what()
        self.now = end
