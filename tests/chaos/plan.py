"""What will happen, and when: drawn from a seed, so that a bad day can be lived again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: Faults with their weights.
FAULTS: Final = {
    "kill a hub": 6,
    "kill a spoke daemon": 6,
    "kill a supervisor": 6,
    "kill an agent": 6,
    "kill database backends": 5,
    "crash Postgres": 1,
    "cut a link": 8,
    "hold a link": 5,
    "strand a link": 4,
    "move a spoke to the other hub": 3,
    "freeze a hub": 3,
    "freeze a spoke daemon": 3,
    "cut a spoke off": 3,
}
#: Kinds of sessions with their weights; their scripts are in `tests/support/agents.py`.
KINDS: Final = {"counts": 5, "works": 4, "fails": 2, "listens": 3, "leaves some": 3, "will not": 3}
REPLACED: Final = 0.3  #: the share of sessions that may be started elsewhere,
RESUMED: Final = 0.15  #: and of those that somebody wants to start again


@dataclass(frozen=True, slots=True)
class Spawn:
    at: float  #: seconds from the beginning
    n: int
    kind: str
    spoke: int | None  #: None: anywhere
    parent: int | None  #: the number of another session
    lines: int  #: how long it works
    messages: int
    replace: bool  #: it may be started elsewhere when its spoke is out of reach


@dataclass(frozen=True, slots=True)
class Abort:
    at: float
    n: int
    now: bool


@dataclass(frozen=True, slots=True)
class Resume:
    at: float
    n: int
    elsewhere: bool


@dataclass(frozen=True, slots=True)
class Break:
    at: float
    fault: str
    which: int  #: of those that there are then, modulo
    lasts: float


Step = Spawn | Abort | Resume | Break


def plan(seed: int, duration: float, sessions: int, breaks: int) -> list[Step]:
    """All steps, in order. Sessions begin in the first nine tenths of the time."""
    draw = random.Random(seed)
    steps: list[Step] = []
    for n in range(sessions):
        at = draw.uniform(0, 0.9 * duration)
        [kind] = draw.choices(list(KINDS), list(KINDS.values()))
        steps.append(
            Spawn(
                at=at,
                n=n,
                kind=kind,
                spoke=draw.choice((0, 1, None)),
                parent=draw.randrange(n) if n and draw.random() < 0.25 else None,
                lines=draw.randint(5, 40),
                messages=draw.randint(1, 4) if kind == "listens" else 0,
                replace=draw.random() < REPLACED,
            )
        )
        if kind == "will not" or draw.random() < 0.15:
            steps.append(Abort(at + draw.uniform(0, 6), n, now=draw.random() < 0.3))
        if draw.random() < RESUMED:
            steps.append(Resume(at + draw.uniform(3, 15), n, elsewhere=draw.random() < 0.5))
    for _ in range(breaks):
        [fault] = draw.choices(list(FAULTS), list(FAULTS.values()))
        at = draw.uniform(0.02 * duration, duration)
        steps.append(Break(at, fault, draw.randrange(1 << 16), draw.uniform(0.1, 1.5)))
    return sorted(steps, key=lambda step: step.at)


def counted(steps: Sequence[Step]) -> dict[str, int]:
    """How often each fault is to come."""
    broken = [step.fault for step in steps if isinstance(step, Break)]
    return {fault: broken.count(fault) for fault in FAULTS if fault in broken}
