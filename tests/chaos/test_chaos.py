"""The short form of `make chaos`, and that a seed says all of it."""

from __future__ import annotations

from tests.chaos.plan import FAULTS, Abort, Break, Spawn, counted, plan
from tests.chaos.weather import run


async def test_ten_seconds_of_chaos() -> None:
    verdict = await run(seed=7, duration=8, sessions=16, breaks=10)
    assert verdict.good, str(verdict)
    assert sum(verdict.faults.values()) == 10
    assert verdict.spools >= 8, "there was something to compare"


def test_a_seed_says_what_happens() -> None:
    assert plan(7, 60, 50, 30) == plan(7, 60, 50, 30)
    assert plan(7, 60, 50, 30) != plan(8, 60, 50, 30)


def test_a_long_plan_breaks_everything() -> None:
    steps = plan(7, 600, 200, 150)
    assert counted(steps).keys() == FAULTS.keys()
    assert sum(isinstance(step, Spawn) for step in steps) == 200
    assert sum(isinstance(step, Break) for step in steps) == 150
    assert any(isinstance(step, Abort) for step in steps)
    assert [step.at for step in steps] == sorted(step.at for step in steps)
