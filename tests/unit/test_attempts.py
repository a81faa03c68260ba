"""An order is on the disk before anything is done about it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from protocol.ops.wire import Order, StartOrder
from spoke.attempts import Attempts
from spoke.outfit import Rooms

START = StartOrder(
    task="t", prompt="p", repo="/r", base=None, branch="b", agent="command", command="true",
    args=[], env={}, stdin="open", parent_session_id=None, worktree=None, resume=False,
    messages=[], credential="secret",
)  # fmt: skip


class FullDisk:
    last_seq = 0

    def accept(self, orders: object, refused: object) -> None:
        raise OSError(28, "No space left on device")


async def test_what_the_disk_does_not_take_is_not_acted_on() -> None:
    attempts = Attempts(cast("Rooms", SimpleNamespace(journal=FullDisk())))
    order = Order.model_validate(
        {"seq": 1, "kind": "start", "session_id": "ses_1", "attempt": 1, "body": START}
    )
    with pytest.raises(OSError, match="No space left"):
        await attempts.take([order])
    assert attempts.inventory() == []
    await attempts.close()
