"""An order is on the disk before anything is done about it; but no disk holds up a stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import pytest

from protocol.ops.wire import Order, StartOrder, StopOrder
from spoke.attempts import Attempts
from spoke.outfit import Rooms

START = StartOrder(
    task="t", prompt="p", repo="/r", base=None, branch="b", agent="command", command="true",
    args=[], env={}, stdin="open", parent_session_id=None, worktree=None, resume=False,
    messages=[], credential="secret",
)  # fmt: skip


class Watched(Attempts):
    """What it does is said, and not done."""

    def __init__(self, journal: object, deeds: list[str]) -> None:
        super().__init__(cast("Rooms", SimpleNamespace(journal=journal)))
        self.deeds = deeds

    def _act(self, order: Order, behind: int) -> None:
        more = f", {behind} behind" if order.kind == "stop" else ""
        self.deeds.append(f"deed {order.seq}{more}")


@dataclass
class Disk:
    deeds: list[str]
    last_seq: int = 0
    full: bool = False

    def accept(self, orders: Sequence[Order], _: object) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.deeds += [f"disk {order.seq}" for order in orders]
        self.last_seq = orders[-1].seq


def _start(seq: int) -> Order:
    return Order.model_validate(
        {"seq": seq, "kind": "start", "session_id": "ses_1", "attempt": seq, "body": START}
    )


def _stop(seq: int) -> Order:
    body = StopOrder(reason="r", grace_ms=None, now=False, outcome="aborted", abort_id="abt_1")
    return Order.model_validate(
        {"seq": seq, "kind": "stop", "session_id": f"ses_{seq}", "attempt": 1, "body": body}
    )


async def test_a_stop_waits_for_no_disk() -> None:
    """The hub says it again until it is there: then it is an old word to a dead agent."""
    deeds: list[str] = []
    disk = Disk(deeds, full=True)
    attempts = Watched(disk, deeds)
    with pytest.raises(OSError, match="No space left"):
        await attempts.take([_stop(1), _stop(2), _stop(3)])
    assert deeds == ["deed 1, 2 behind", "deed 2, 1 behind", "deed 3, 0 behind"]
    disk.full = False
    deeds.clear()
    await attempts.take([_stop(1), _stop(2), _stop(3), _start(4)])
    assert deeds == [
        "disk 1", "disk 2", "disk 3", "disk 4",
        "deed 1, 2 behind", "deed 2, 1 behind", "deed 3, 0 behind", "deed 4",
    ]  # fmt: skip
    await attempts.close()


async def test_what_the_disk_does_not_take_is_not_acted_on() -> None:
    deeds: list[str] = []
    attempts = Watched(Disk(deeds, full=True), deeds)
    with pytest.raises(OSError, match="No space left"):
        await attempts.take([_start(1)])
    assert deeds == []
    await attempts.close()


async def test_the_disk_has_an_order_before_it_is_acted_on_and_both_happen_once() -> None:
    """An order that is told again may belong to an attempt that is done with: nothing else would
    know that it is old."""
    deeds: list[str] = []
    attempts = Watched(Disk(deeds), deeds)
    for told in ([1, 2], [2], [1, 2, 3]):
        taken = await attempts.take([_start(seq) for seq in told])
        assert taken.accepted == max(told[-1], 2)
    assert deeds == ["disk 1", "disk 2", "deed 1", "deed 2", "disk 3", "deed 3"]
    await attempts.close()
