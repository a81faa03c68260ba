"""How much is measured: enough for a figure, or as little as shows that the code works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    seconds: float  #: of load in one round
    rounds: int  #: of ours and its peers in turn
    links: int  #: connections of the crowd
    times: int  #: a cheap thing is done,
    few: int  #: an expensive one,
    rarely: int  #: and a very expensive one
    files: tuple[int, ...]  #: in the repositories
    tree: int  #: sessions
    lines: int  #: of a talkative agent
    spokes: int  #: idle ones
    calls: int  #: in flight
    clients: int  #: idle ones


FULL = Scale(0.6, 3, 100, 15, 5, 2, (3, 5_000, 50_000), 30, 60_000, 500, 1_000, 5_000)
TINY = Scale(0.05, 1, 2, 2, 1, 1, (3,), 2, 500, 4, 8, 20)
