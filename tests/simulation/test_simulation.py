"""Many simulated days: whatever breaks, all records agree in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from spoke.core.story import Swept
from tests.simulation.exchange import Hub
from tests.simulation.machine import Machine
from tests.simulation.world import World
from tests.support.invariants import Key

DAYS = 80


def test_after_every_day_all_records_agree() -> None:
    broken: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for seed in range(DAYS):
        world = World(seed)
        assert world.run() == [], f"seed {seed}"
        broken += world.broken
        ends.update(str(row.state) for row in world.db.rows.values())
    assert len(broken) == 9, "every fault has come"
    assert ends.keys() >= {"completed", "failed", "aborted", "lost"}


def test_a_seed_says_all_of_it() -> None:
    one, same, other = World(5), World(5), World(6)
    for world in (one, same, other):
        world.run()
    assert one.db.events() == same.db.events()
    assert one.db.events() != other.db.events()


def _forget_what_is_left(machine: Machine, key: Key) -> None:
    machine.tell(key, Swept(0, 0))


def _never_ended(machine: Machine, key: Key) -> bool:
    return False


def _keep_all_links(hub: Hub) -> None:
    return None


@pytest.mark.parametrize(
    ("room", "name", "wrong", "seeds"),
    [
        (Machine, "_sweep", _forget_what_is_left, range(15, 40)),
        (Machine, "_is_ended", _never_ended, range(15, 40)),
        (Hub, "_leave_to_others", _keep_all_links, range(110, 120)),
    ],
)
def test_it_notices_when_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
    room: type[object],
    name: str,
    wrong: Callable[..., object],
    seeds: range,
) -> None:
    monkeypatch.setattr(room, name, wrong)
    assert any(World(seed).run() for seed in seeds)
