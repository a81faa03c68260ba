"""The spoke's journal: what a restart reads back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from protocol.errors import DataLoss
from protocol.ops.wire import MessageOrder, Order, StartOrder, StopOrder
from spoke.journal import Journal, Key

START = StartOrder(
    task="t", prompt="p", repo="/r", base=None, branch="b", agent="command", command="true",
    args=[], env={}, stdin="open", parent_session_id=None, worktree=None, resume=False,
    credential="secret",
)  # fmt: skip


def order(seq: int, session: str, body: StartOrder | MessageOrder | StopOrder | None) -> Order:
    kinds = {StartOrder: "start", MessageOrder: "message", StopOrder: "stop"}
    kind = kinds.get(type(body), "forget")
    return Order.model_validate(
        {"seq": seq, "kind": kind, "session_id": session, "attempt": 1, "body": body}
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_what_was_accepted_is_there_after_a_restart(path: Path) -> None:
    stop = StopOrder(outcome="aborted", reason="enough", abort_id="ab_1")
    with Journal(path) as journal:
        journal.accept([order(1, "s1", START), order(2, "s2", START)], [3])
        journal.accept([order(4, "s1", MessageOrder(message_id="m1", text="x"))], [])
        journal.accept([order(5, "s2", stop)], [])
        assert journal.last_seq == 5
    again = Journal(path)
    assert again.last_seq == 5
    assert again.held[Key("s1", 1)].start == START
    assert [one.message_id for one in again.held[Key("s1", 1)].messages] == ["m1"]
    assert again.held[Key("s2", 1)].stops == [stop]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_done_is_forgotten_at_the_next_start(path: Path) -> None:
    with Journal(path) as journal:
        journal.accept([order(1, "s1", START), order(2, "s2", START)], [])
        journal.finish([Key("s1", 1)])
    with Journal(path) as journal:
        assert journal.done == {Key("s1", 1)}
        assert list(journal.held) == [Key("s2", 1)]
        before = path.stat().st_size
        journal.finish([Key("s2", 1)])
    with Journal(path):
        assert path.stat().st_size < before
    empty = Journal(path)
    assert (empty.last_seq, empty.held, empty.done) == (2, {}, set())


def test_a_torn_last_line_is_as_if_it_was_never_written(path: Path) -> None:
    with Journal(path) as journal:
        journal.accept([order(1, "s1", START)], [])
        whole = path.stat().st_size
        journal.accept([order(2, "s2", START)], [])
    text = path.read_bytes()
    for cut in (whole + 1, whole + 40, len(text) - 1):
        path.write_bytes(text[:cut])
        with Journal(path) as journal:
            assert (journal.last_seq, list(journal.held)) == (1, [Key("s1", 1)])
            journal.accept([order(2, "s3", START)], [])
        assert list(Journal(path).held) == [Key("s1", 1), Key("s3", 1)]


def test_damage_before_the_last_line_is_told(path: Path) -> None:
    with Journal(path) as journal:
        journal.accept([order(1, "s1", START)], [])
    path.write_bytes(b"garbage\n" + path.read_bytes())
    with pytest.raises(DataLoss, match="JOURNAL_DAMAGED"):
        Journal(path)


def test_what_is_accepted_and_what_is_done_is_on_the_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    with Journal(path) as journal:
        monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_size))
        journal.accept([order(1, "s1", START)], [])
        assert synced == [path.stat().st_size], "all of it, before it is accepted"
        journal.finish([Key("s1", 1)])
        assert synced[1:] == [path.stat().st_size]
