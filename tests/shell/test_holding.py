"""One process at a time is in a conversation; the lock of a dead one holds nobody up."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from spoke.supervisor.agent import BUSY, SpawnFailed
from spoke.supervisor.assignment import TalkOrder
from spoke.supervisor.holding import Conversations, enter


def _order(folder: Path, id: str | None) -> TalkOrder:
    return {
        "tongue": "claude", "first": None, "agentSessionId": id, "resume": True, "lingerMs": 0,
        "minuteApart": False, "base": "", "permissions": [], "asked": 0, "model": None,
        "instructions": "", "conversations": str(folder / "conversations"),
        "quietMs": 0, "maxSilenceMs": None,
    }  # fmt: skip


def test_a_conversation_is_held_by_one(tmp_path: Path) -> None:
    one, other = Conversations(str(tmp_path)), Conversations(str(tmp_path))
    assert one.take("claude", "a")
    assert one.take("claude", "a"), "it is ours already"
    assert not other.take("claude", "a")
    assert other.take("claude", "b")
    assert other.take("codex", "a")
    one.leave()
    assert other.take("claude", "a")
    other.leave()
    assert list(tmp_path.iterdir()) == []


def test_a_holder_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        Conversations(str(tmp_path)).take("claude", "a")
        os.write(told, b".")
        signal.pause()
    assert os.read(ready, 1) == b"."
    mine = Conversations(str(tmp_path))
    assert not mine.take("claude", "a")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert mine.take("claude", "a")
    mine.leave()


def test_who_finds_it_held_does_not_start(tmp_path: Path) -> None:
    held = enter(_order(tmp_path, "a"))
    with pytest.raises(SpawnFailed) as failed:
        enter(_order(tmp_path, "a"))
    assert failed.value.reason == BUSY
    held.leave()
    enter(_order(tmp_path, "a")).leave()


def test_what_has_no_conversation_yet_holds_none(tmp_path: Path) -> None:
    enter(_order(tmp_path, None)).leave()
    enter(None).leave()
    assert list(tmp_path.iterdir()) == []


def test_without_room_for_a_lock_nobody_starts_in_a_conversation_that_is_known(
    tmp_path: Path,
) -> None:
    (tmp_path / "conversations").write_text("where its folder should be")
    with pytest.raises(SpawnFailed) as failed:
        enter(_order(tmp_path, "a"))
    assert failed.value.reason == "SPAWN_FAILED"


def test_without_room_for_a_lock_a_new_conversation_goes_on(tmp_path: Path) -> None:
    (tmp_path / "conversations").write_text("where its folder should be")
    held = enter(_order(tmp_path, None))
    held.take_new("claude", "a")
    held.leave()


def test_a_lock_that_somebody_took_away_is_left_all_the_same(tmp_path: Path) -> None:
    held = enter(_order(tmp_path, "a"))
    for file in (tmp_path / "conversations").iterdir():
        file.unlink()
    held.leave()
