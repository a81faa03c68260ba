"""How much is tried: a little beside all other tests, 100,000 examples by `make fuzz`.

At the end it is said what was tried and what came of it; a bound that did not hold fails the run.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tests.fuzz.tally import Bystander, Tally, weigh

PROPERTIES: Final = 8  #: tests in this folder; a test counts them
EXAMPLES: Final = 100_000

settings.register_profile(
    "fuzz",
    max_examples=EXAMPLES // PROPERTIES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

_FUZZ: Final = "fuzz"  # the profile
_HERE: Final = Path(__file__).parent
_TALLY: Final = pytest.StashKey[Tally]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    tally = config.stash.setdefault(_TALLY, Tally())
    for item in items:
        if isinstance(item, pytest.Function) and item.path.parent == _HERE:
            handle = getattr(item.obj, "hypothesis", None)
            if handle is not None:
                handle.inner_test = tally.counted(handle.inner_test)
    tally.before = weigh()


@pytest.fixture(scope="session")
def bystander(request: pytest.FixtureRequest) -> Generator[Bystander]:
    one = Bystander(request.config.stash[_TALLY])
    yield one
    one.close()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    tally = config.stash.get(_TALLY, None)
    if tally is not None and tally.examples:
        terminalreporter.section("fuzz")
        for line in tally.lines():
            terminalreporter.line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    tally = session.config.stash.get(_TALLY, None)
    if tally is not None and tally.examples:
        tally.after = weigh()
    chosen = session.config.getoption("--hypothesis-profile", None) == _FUZZ
    if chosen and tally is not None and not tally.is_good():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
